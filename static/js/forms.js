// Small courtesies: a form is sent once, a select may send its form, a field in thousands groups its digits.
"use strict";

(() => {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post" || form.hasAttribute("data-many")) return;
    if (form.dataset.sent !== undefined) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "";
    if (event.submitter) event.submitter.setAttribute("aria-busy", "true");
  });

  // Coming back with the browser's button shows the page as it was left: sent and busy.
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) {
      delete form.dataset.sent;
      form.querySelectorAll("[aria-busy]").forEach((button) => button.removeAttribute("aria-busy"));
    }
  });

  document.addEventListener("change", (event) => {
    const field = event.target.closest("[data-submit-on-change]");
    if (field && field.form) field.form.requestSubmit();
  });

  // Before anybody else hears of the input, so that everybody reads the grouped number.
  document.addEventListener("input", (event) => {
    const field = event.target.closest("[data-grouped]");
    // Only what is digits alone is grouped: what else was typed ("0.5M") is somebody's to read, not ours to change.
    if (!field || /[^\d,\s]/.test(field.value)) return;
    const digitsAfter = field.value.slice(field.selectionEnd).replace(/\D/g, "").length;
    const digits = field.value.replace(/\D/g, "").replace(/^0+(?=\d)/, "");
    field.value = digits.replace(/\B(?=(\d{3})+$)/g, ",");
    let caret = field.value.length;
    for (let seen = 0; caret > 0 && seen < digitsAfter; caret -= 1) if (/\d/.test(field.value[caret - 1])) seen += 1;
    field.setSelectionRange(caret, caret);
  }, true);
})();
