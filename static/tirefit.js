/* TireFit's only hand-written script. Every page works without it; with it, some need one tap less. */
document.documentElement.classList.add("js");
(() => {
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  /* The hold's countdown. Seen every second, spoken only at 5 and 2 minutes; it never takes away what was typed.
     It counts from the seconds the server gave, so a device with a wrong clock counts right. */
  const holds = () => all("[data-left]").forEach((hold) => {
    if (hold.counting) return;
    hold.counting = true;
    const end = Date.now() + hold.dataset.left * 1000;
    const shown = one("[data-shown]", hold), spoken = one("[data-spoken]", hold), bar = one("progress", hold);
    let said = Infinity;
    const tick = () => {
      if (!hold.isConnected) return clearInterval(timer);
      const left = Math.max(0, Math.round((end - Date.now()) / 1000));
      const clock = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
      shown.textContent = left > 120
        ? shown.dataset.minutes.replace("#", Math.ceil(left / 60))
        : shown.dataset.clock.replace("#", clock);
      bar.value = left;
      for (const minutes of [5, 2]) {
        if (left <= minutes * 60 && said > minutes) {
          said = minutes;
          spoken.textContent = spoken.dataset[`at${minutes}`];
        }
      }
      if (left <= 120) one("[data-extend]", hold)?.classList.remove("no-js-only");
      if (!left) {
        clearInterval(timer);
        hold.dispatchEvent(new CustomEvent("holdexpired", { bubbles: true }));
      }
    };
    const timer = setInterval(tick, 1000);
    tick();
  });

  /* Bring what is current into view: the chosen day in its strip; on the board, once, the line of now. */
  const reveal = () => {
    one(".day[aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
    const board = one("[data-board]"), line = board && one(".nowline", board);
    if (line && !board.revealed) {
      board.revealed = true;
      board.scrollTop = line.offsetTop - board.clientHeight / 3;
    }
  };

  /* Whose device keeps another time is told whose clock the page goes by. */
  const zones = () => all("[data-zone]").forEach((note) => {
    const now = new Date();
    note.hidden = now.toLocaleString("en", { timeZone: note.dataset.zone }) === now.toLocaleString("en");
  });

  const renew = () => { holds(); reveal(); zones(); };
  addEventListener("DOMContentLoaded", renew);

  /* htmx: an answer to a person's choice moves the focus where its element says; a poll never does. */
  addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
    ctx.thenFocus = ctx.sourceElement.closest("[data-then-focus]")?.dataset.thenFocus;
  });
  addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    one("#sys").hidden = true;
    renew();
    if (ctx.thenFocus) one(ctx.thenFocus)?.focus();
  });
  addEventListener("htmx:error", () => {
    const asOf = one("[data-as-of]"), said = one("#sys [data-as-of-words]");
    if (asOf && said) said.textContent = said.dataset.asOfWords.replace("#", asOf.dataset.asOf);
    one("#sys").hidden = false;
  });
  addEventListener("htmx:after:request", () => { one("#sys").hidden = true; });

  /* What somebody waits for says so: at once to those who listen, after a moment to those who look. */
  addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
    if (!ctx.sourceElement.matches("[data-poll]")) ctx.target?.setAttribute("aria-busy", "true");
  });
  addEventListener("htmx:finally:request", ({ detail: { ctx } }) => ctx.target?.removeAttribute("aria-busy"));

  /* A board that nobody looks at asks less often. */
  let asked = 0;
  addEventListener("htmx:before:request", (event) => {
    if (!event.detail.ctx.sourceElement.matches("[data-poll]")) return;
    if (document.hidden && Date.now() - asked < 30000) return event.preventDefault();
    asked = Date.now();
  });

  /* On a phone the day is a list. The address says so, and without this script the posts can be scrolled. */
  const narrow = () => {
    const list = one("[data-narrow]");
    if (list && matchMedia("(max-width: 640px)").matches) location.replace(list.href);
  };
  addEventListener("DOMContentLoaded", narrow);

  /* A tap on the last answer goes on by itself. Arrow keys only walk over the answers: then the button goes on. */
  let walking = false;
  addEventListener("keydown", ({ key }) => { walking = key.startsWith("Arrow"); }, true);
  addEventListener("pointerdown", () => { walking = false; }, true);
  addEventListener("change", (event) => {
    const form = walking && event.target.type === "radio" && event.target.closest("form[data-then-focus]");
    if (!form) return;
    event.stopImmediatePropagation();
    for (const button of all(".no-js-only", form)) button.classList.remove("no-js-only");
  }, true);

  /* A form is sent once, however often its button is pressed; what was asked before it overtakes it no more. */
  let leaving = false;
  addEventListener("htmx:before:swap", (event) => { if (leaving) event.preventDefault(); });
  addEventListener("submit", ({ target: form, submitter, defaultPrevented }) => {
    if (defaultPrevented || form.method !== "post" || "file" in form.dataset) return; // behind a file the page stays
    leaving = true;
    setTimeout(() => {
      for (const button of all("button", form)) button.disabled = true;
      if (submitter?.dataset.busy) {
        submitter.dataset.label = submitter.textContent;
        submitter.textContent = submitter.dataset.busy;
      }
    });
  });
  addEventListener("pageshow", ({ persisted }) => {
    if (!persisted) return; // back from another page: the form may be sent again
    leaving = false;
    for (const button of all("button:disabled")) {
      button.disabled = false;
      if (button.dataset.label) button.textContent = button.dataset.label;
    }
  });

  addEventListener("click", ({ target }) => { if (target.closest("[data-print]")) print(); });

  /* "Show the password" */
  addEventListener("change", ({ target }) => {
    const field = target.dataset.reveals && document.getElementById(target.dataset.reveals);
    if (field) field.type = target.checked ? "text" : "password";
  });

  /* The time zone of this device, where none was chosen yet. */
  addEventListener("DOMContentLoaded", () => {
    const zones = one("select[data-guess-zone]");
    const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (zones && [...zones.options].some(({ value }) => value === here)) zones.value = here;
  });

  /* Menus close when one looks elsewhere. */
  const close = (except) => all("details[data-menu][open]").forEach((menu) => {
    if (!menu.contains(except)) menu.open = false;
  });
  addEventListener("click", ({ target }) => close(target));
  addEventListener("keydown", ({ key }) => {
    const menu = key === "Escape" && one("details[data-menu][open]");
    if (menu) { close(); one("summary", menu).focus(); }
  });
})();
