/* The board by keyboard and by drag. Everything here presses what is on the page anyway: links, buttons, lit places. */
(() => {
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const OFF = "tirefit.keys.off";
  const off = () => localStorage.getItem(OFF) === "1";
  const sync = () => all("[data-keys-off]").forEach((box) => { box.checked = off(); });
  addEventListener("DOMContentLoaded", sync);
  addEventListener("htmx:after:swap", sync);
  addEventListener("change", ({ target }) => {
    if (target.matches("[data-keys-off]")) localStorage.setItem(OFF, target.checked ? "1" : "0");
  });

  /* Letters by their place on the keyboard, so that they work in every layout; only while the board has the focus. */
  addEventListener("keydown", (event) => {
    const at = document.activeElement, board = at?.closest("[data-board]");
    if (event.key === "Escape") return one('[data-key="Escape"]')?.click();
    if (!board || event.ctrlKey || event.metaKey || event.altKey || off()) return;
    if (event.key.startsWith("Arrow")) {
      const next = beside(at, event.key, board);
      if (next) { event.preventDefault(); next.focus(); }
      return;
    }
    const pressed = event.code.startsWith("Key") && one(`[data-key="${event.code.slice(3)}"]`);
    if (pressed) { event.preventDefault(); pressed.click(); }
  });

  /* The nearest card or place in that direction; while places are lit, only they count. */
  const beside = (at, key, board) => {
    const lit = all("button.fr.to", board), stops = lit.length ? lit : all("a.ev", board);
    const from = at === board ? { left: 0, top: -1, width: 0, height: 0 } : at.getBoundingClientRect();
    if (at === board) return stops[0];
    const middle = (box) => [box.left + box.width / 2, box.top + Math.min(box.height, 30) / 2];
    const [x, y] = middle(from);
    const sideways = key === "ArrowLeft" || key === "ArrowRight", back = key === "ArrowLeft" || key === "ArrowUp";
    let best = null, least = Infinity;
    for (const stop of stops) {
      if (stop === at) continue;
      const [sx, sy] = middle(stop.getBoundingClientRect());
      const along = (sideways ? sx - x : sy - y) * (back ? -1 : 1), across = Math.abs(sideways ? sy - y : sx - x);
      const away = along + across * 3;
      if (along > 4 && away < least) { least = away; best = stop; }
    }
    return best;
  };

  /* Drag: the page is asked for the places that fit, as "move" does; letting go over one presses it. */
  let drag = null;
  const begin = () => {
    drag.moving = true;
    drag.ghost = drag.card.cloneNode(true);
    drag.ghost.className = `${drag.card.className} ghost`;
    Object.assign(drag.ghost.style, { width: `${drag.card.offsetWidth}px`, height: `${drag.card.offsetHeight}px` });
    document.body.append(drag.ghost);
    document.documentElement.classList.add("dragging");
    htmx.ajax("GET", drag.card.dataset.move, { target: "#main", select: "#main", swap: "outerMorph" });
  };
  const follow = (event) => {
    Object.assign(drag.ghost.style, { left: `${event.clientX - drag.dx}px`, top: `${event.clientY - drag.dy}px` });
    const over = document.elementFromPoint(event.clientX, event.clientY)?.closest("button.fr.to");
    if (over !== drag.over) { drag.over?.classList.remove("over"); over?.classList.add("over"); drag.over = over; }
  };
  const end = (press) => {
    const { moving, ghost, over } = drag;
    clearTimeout(drag.timer);
    drag = null;
    if (!moving) return;
    ghost.remove();
    document.documentElement.classList.remove("dragging");
    addEventListener("click", (event) => event.preventDefault(), { capture: true, once: true });
    setTimeout(() => (press && over ? over : one('[data-key="Escape"]'))?.click(), 0);
  };
  addEventListener("pointerdown", (event) => {
    const card = event.button === 0 && event.target.closest("a.ev[data-move]");
    if (!card) return;
    const box = card.getBoundingClientRect();
    drag = { card, x: event.clientX, y: event.clientY, dx: event.clientX - box.left, dy: event.clientY - box.top };
    drag.touch = event.pointerType !== "mouse";
    if (drag.touch) drag.timer = setTimeout(() => { begin(); follow(event); }, 350);
  });
  addEventListener("pointermove", (event) => {
    if (!drag) return;
    const far = Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > 8;
    if (!drag.moving && far) {
      if (drag.touch) return end(false); // a finger that scrolls
      begin();
    }
    if (drag?.moving) follow(event);
  });
  addEventListener("touchmove", (event) => { if (drag?.moving) event.preventDefault(); }, { passive: false });
  addEventListener("pointerup", () => { if (drag) end(true); });
  addEventListener("pointercancel", () => { if (drag) end(false); });
  addEventListener("dragstart", (event) => { if (event.target.closest("a.ev")) event.preventDefault(); });
})();
