/* What can be measured of a page without an opinion. → what is wrong with it at this width; `target` px is the least a finger must find. */
(target) => {
  const wrong = [];
  const visible = (element) => {
    const box = element.getBoundingClientRect();
    return box.width > 1 && box.height > 1 && element.checkVisibility({ visibilityProperty: true, opacityProperty: true })
      && !element.closest(".vh, .skip, .honey");
  };
  const name = (element) => {
    const text = (element.getAttribute("aria-label") || element.textContent || element.name || "").trim().replace(/\s+/g, " ");
    return `${element.tagName.toLowerCase()}${element.className ? "." + String(element.className.baseVal ?? element.className).split(" ")[0] : ""} «${text.slice(0, 30)}»`;
  };
  const all = (selector) => [...document.querySelectorAll(selector)].filter(visible);
  const scrolls = "[data-board], .days, .week, .heat-map"; // regions that scroll sideways on purpose

  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) {
    const widest = all("body *").filter((each) => !each.closest(scrolls) && each.getBoundingClientRect().right > page.clientWidth + 1);
    wrong.push(`scrolls sideways: ${page.scrollWidth} > ${page.clientWidth}, ${widest.slice(-1).map(name)}`);
  }

  for (const element of all("body *")) {
    const style = getComputedStyle(element);
    if (element.matches("svg, svg *, iframe, input, select, textarea") || element.closest(scrolls)) continue;
    const cuts = /hidden|clip|auto|scroll/.test(style.overflowX);
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if ((cuts || own) && style.display !== "inline" && element.scrollWidth > element.clientWidth + 1) {
      wrong.push(`words cut: ${name(element)} ${element.scrollWidth} > ${element.clientWidth}`);
    }
  }

  const inSentence = (control) => control.matches("a") && getComputedStyle(control).display === "inline";
  const controls = all("a[href], button, input, summary, select").filter((each) => !each.closest("[data-board]") && !inSentence(each));
  const boxOf = (control) => (control.closest("label") ?? control).getBoundingClientRect();
  for (const control of controls) {
    const box = boxOf(control);
    if (box.width < target - 0.5 || box.height < target - 0.5) {
      wrong.push(`small: ${name(control)} ${Math.round(box.width)}x${Math.round(box.height)} < ${target}`);
    }
  }
  const fixed = (control) => control.closest(".hold, .total, .savebar, .bay footer, details[open] > :not(summary)");
  for (const [number, one] of controls.entries()) {
    if (fixed(one)) continue;
    for (const other of controls.slice(number + 1)) {
      const a = boxOf(one), b = boxOf(other);
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      const nested = one.contains(other) || other.contains(one) || one.closest("label")?.contains(other);
      if (!fixed(other) && !nested && across > 2 && down > 2) wrong.push(`covers: ${name(one)} and ${name(other)}`);
    }
  }
  return wrong;
}
