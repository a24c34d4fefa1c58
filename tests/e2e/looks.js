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
  const frames = "pre, .sheet, .matrix"; // the same; what stands in them is looked at all the same

  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) {
    const widest = all("body *").filter((each) => !each.closest(scrolls) && each.getBoundingClientRect().right > page.clientWidth + 1);
    wrong.push(`scrolls sideways: ${page.scrollWidth} > ${page.clientWidth}, ${widest.slice(-1).map(name)}`);
  }

  for (const element of all("body *")) {
    const style = getComputedStyle(element);
    if (element.matches(`svg, svg *, iframe, input, select, textarea, ${frames}`) || element.closest(scrolls)) continue;
    const cuts = /hidden|clip|auto|scroll/.test(style.overflowX);
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if ((cuts || own) && style.display !== "inline" && element.scrollWidth > element.clientWidth + 1) {
      wrong.push(`words cut: ${name(element)} ${element.scrollWidth} > ${element.clientWidth}`);
    }
  }

  const inSentence = (control) => control.matches("a") && getComputedStyle(control).display === "inline";
  const controls = all("a[href], button, input, summary, select").filter((each) => !each.closest("[data-board]") && !inSentence(each));
  const inSight = (control, { left, right, top, bottom }) => { // what scrolled out of its frame covers nothing
    for (let up = control.parentElement; up; up = up.parentElement) {
      if (getComputedStyle(up).overflowY === "visible") continue;
      const frame = up.getBoundingClientRect();
      [left, right] = [Math.max(left, frame.left), Math.min(right, frame.right)];
      [top, bottom] = [Math.max(top, frame.top), Math.min(bottom, frame.bottom)];
    }
    return { left, right, top, bottom };
  };
  const overlap = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2;
  const boxes = controls.map((control) => (control.closest("label") ?? control).getBoundingClientRect());
  for (const [number, control] of controls.entries()) {
    const box = boxes[number];
    if (box.width < target - 0.5 || box.height < target - 0.5) {
      wrong.push(`small: ${name(control)} ${Math.round(box.width)}x${Math.round(box.height)} < ${target}`);
    }
  }
  const floats = controls.map((control) => control.closest(".hold, .total, .savebar, .bay footer, details[open] > :not(summary)"));
  for (const [number, one] of controls.entries()) {
    if (floats[number]) continue;
    for (let next = number + 1; next < controls.length; next++) {
      const other = controls[next];
      if (floats[next] || !overlap(boxes[number], boxes[next])) continue;
      if (!overlap(inSight(one, boxes[number]), inSight(other, boxes[next]))) continue;
      const nested = one.contains(other) || other.contains(one) || one.closest("label")?.contains(other);
      if (!nested) wrong.push(`covers: ${name(one)} and ${name(other)}`);
    }
  }
  return wrong;
}
