/* What a keyboard needs of a page: each control takes the focus in the order of reading, and shows that it has it.
   Of controls that look alike, three are tried. → what is wrong. */
() => {
  const wrong = [], seen = {};
  const before = document.activeElement;
  const controls = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")].filter(
    (each) => each.checkVisibility({ visibilityProperty: true }) && !each.disabled && each.type !== "hidden"
      && !each.closest("[inert], [aria-hidden=true], .honey"));
  const name = (control) => `${control.tagName.toLowerCase()}.${control.className} «${(control.getAttribute("aria-label") || control.textContent || control.name || "").trim().slice(0, 30)}»`;
  const marks = (element) => {
    const style = element && getComputedStyle(element);
    return style ? [style.outlineStyle, style.outlineColor, style.boxShadow, style.borderColor].join() : "";
  };
  const around = (control) => [control, control.closest("label"), control.nextElementSibling].map(marks).join(";");
  for (const control of controls) {
    if (control.tabIndex > 0) wrong.push(`out of order: ${name(control)}`);
    if (control.tabIndex < 0 && control.matches("a, button, input, select, textarea, summary")) wrong.push(`not reached: ${name(control)}`);
    const key = `${control.tagName}.${control.className}.${control.type}`;
    seen[key] = (seen[key] ?? 0) + 1;
    if (seen[key] > 3 || control.tabIndex < 0) continue;
    before?.blur();
    const plain = around(control);
    control.focus({ preventScroll: true, focusVisible: true });
    if (document.activeElement !== control) wrong.push(`takes no focus: ${name(control)}`);
    else if (around(control) === plain) wrong.push(`does not show its focus: ${name(control)}`);
    control.blur();
  }
  return wrong;
}
