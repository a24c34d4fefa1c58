/* Services × cars like a spreadsheet: arrows and Enter walk, Esc takes back, "+10 min" fills a column at once. */
(() => {
  const cells = () => [...document.querySelectorAll("[data-matrix] td .input")];
  const place = (input) => {
    const [kind, service, car] = input.name.split("-");
    return { kind, service, car };
  };
  const below = (input, step) => {
    const { kind, car } = place(input);
    const column = cells().filter((each) => place(each).kind === kind && place(each).car === car);
    return column[column.indexOf(input) + step];
  };
  const beside = (input, step) => {
    const row = cells().filter((each) => place(each).service === place(input).service);
    return row[row.indexOf(input) + step];
  };
  const go = (event, to) => {
    if (!to) return;
    event.preventDefault();
    to.focus();
    to.select();
  };

  addEventListener("keydown", (event) => {
    const input = event.target;
    if (!input.matches?.("[data-matrix] td .input")) return;
    const atStart = input.selectionEnd === 0, atEnd = input.selectionStart === input.value.length;
    const whole = input.selectionStart === 0 && input.selectionEnd === input.value.length;
    if (event.key === "ArrowDown" || event.key === "Enter") {
      if (event.key === "Enter" && !below(input, 1)) return;
      go(event, below(input, 1));
    } else if (event.key === "ArrowUp") {
      go(event, below(input, -1));
    } else if (event.key === "ArrowLeft" && (atStart || whole)) {
      go(event, beside(input, -1));
    } else if (event.key === "ArrowRight" && (atEnd || whole)) {
      go(event, beside(input, 1));
    } else if (event.key === "Escape") {
      input.value = input.defaultValue;
      input.select();
    }
  });

  addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-fill]");
    if (!button) return;
    event.preventDefault();
    const typed = button.previousElementSibling, more = parseInt(typed.value.replace("−", "-"), 10);
    if (!more) return typed.focus();
    for (const input of cells()) {
      const { kind, car } = place(input);
      if (kind !== "m" || car !== button.dataset.fill || !/^\d+$/.test(input.value)) continue;
      input.value = Math.max(5, Math.min(480, +input.value + more));
      input.dispatchEvent(new Event("change", { bubbles: true }));
    }
    typed.value = "";
  });
})();
