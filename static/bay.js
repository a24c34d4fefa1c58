/* A post's screen: gloves tap twice, a pedal sends Enter. Comes after tirefit.js and htmx; the page works without it. */
(() => {
  const PAUSE = 700; // ms: what follows a tap sooner than that is the same tap
  let tapped = -PAUSE;
  addEventListener("click", (event) => {
    if (!event.target.closest("#bay :is(a, button)")) return;
    if (event.timeStamp - tapped < PAUSE) {
      event.preventDefault();
      event.stopImmediatePropagation();
    } else {
      tapped = event.timeStamp;
    }
  }, true);

  /* Enter is the main button, unless something else has the focus; held down, it is one press. */
  addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    if (event.repeat) event.preventDefault();
    else if (!event.target.closest("a, button, input")) document.querySelector("[data-main]")?.click();
  });

  /* An answer without the screen (a session that is gone, a server that is ill) does not take the screen away. */
  addEventListener("htmx:before:swap", (event) => {
    const { text, response } = event.detail.ctx;
    if (text.includes('id="bay"')) return;
    event.preventDefault();
    if (response.status < 500) location.assign(document.querySelector("#bay").dataset.home);
    else document.querySelector("#sys").hidden = false;
  });
})();
