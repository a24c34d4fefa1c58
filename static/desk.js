/* The manager's forms: what was typed is not lost by accident, and Ctrl+S saves. Without this script the button does. */
(() => {
  const forms = () => [...document.querySelectorAll("form[data-keep]")];
  const typed = (form) => JSON.stringify([...new FormData(form)].filter(([name]) => name !== "csrf_token"));
  const loaded = new WeakMap();
  let isSaving = false;

  /* What came back with an error has not been saved either. */
  addEventListener("DOMContentLoaded", () => {
    for (const form of forms()) loaded.set(form, form.dataset.keep === "unsaved" ? "" : typed(form));
  });
  addEventListener("submit", ({ target, defaultPrevented }) => { isSaving = !defaultPrevented && target.method === "post" && !("file" in target.dataset); });
  addEventListener("pageshow", ({ persisted }) => { if (persisted) isSaving = false; });
  addEventListener("beforeunload", (event) => {
    if (!isSaving && forms().some((form) => loaded.get(form) !== typed(form))) event.preventDefault();
  });

  /* The key, not the letter: on a Ukrainian keyboard the same key types another one. */
  addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.code !== "KeyS") return;
    const form = document.activeElement.closest("form[data-keep]") ?? forms()[0];
    if (!form) return;
    event.preventDefault();
    form.requestSubmit();
  });
})();
