// A secret that is shown once: leaving the page before it was copied or acknowledged asks again, and "continue" waits for the
// acknowledgement. Without scripts the checkbox is required by the form.
"use strict";

(() => {
  for (const box of document.querySelectorAll("[data-secret]")) {
    const acknowledge = box.querySelector("[data-secret-saved]");
    const next = box.querySelector("[data-secret-next]");
    let safe = false;

    const update = () => {
      if (acknowledge && acknowledge.checked) safe = true;
      if (!next) return;
      next.setAttribute("aria-disabled", String(Boolean(acknowledge) && !acknowledge.checked));
    };

    // A copied snippet has the secret in it, too, and one that a request came in with is in use.
    document.addEventListener("click", (event) => {
      if (event.target.closest("[data-copy], [data-copy-from]")) safe = true;
    });
    document.addEventListener("htmx:afterSwap", () => {
      if (document.querySelector(".first-request.arrived")) safe = true;
    });
    box.addEventListener("click", (event) => {
      if (event.target.closest('[data-secret-next][aria-disabled="true"]')) {
        event.preventDefault();
        acknowledge.focus();
      }
    });
    if (acknowledge) acknowledge.addEventListener("change", update);
    window.addEventListener("beforeunload", (event) => {
      if (!safe) event.preventDefault();
    });
    update();
  }
})();
