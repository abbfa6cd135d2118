// Parts that refresh themselves ([data-live], by htmx): not while nobody looks, and what the reader has opened stays open.
"use strict";

(() => {
  const opened = (part) => [...part.querySelectorAll("details")].map((details) => details.open);

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.target.closest("[data-live]")) event.preventDefault();
  });

  document.addEventListener("htmx:beforeSwap", (event) => {
    const part = event.detail.target.closest("[data-live]");
    if (!part || !event.detail.shouldSwap) return;
    const before = opened(part);
    const { id } = part;
    document.addEventListener(
      "htmx:afterSwap",
      () => {
        const after = document.getElementById(id);
        if (!after) return;
        [...after.querySelectorAll("details")].forEach((details, at) => {
          if (before[at]) details.open = true;
        });
      },
      { once: true },
    );
  });
})();
