// Adds up what a credit note takes back while it is typed, in whole minor units; what the note will be is worked out by the server.
"use strict";

(() => {
  const bar = document.querySelector("[data-running-sum]");
  if (!bar) return;
  const fields = [...document.querySelectorAll("[data-take-back]")];
  const decimals = Number(bar.dataset.decimals);
  const minor = (text) => {
    const found = /^(-?)([0-9]{1,14})(?:\.([0-9]*))?$/.exec(text.trim());
    if (!found || /[1-9]/.test((found[3] || "").slice(decimals))) return null;
    const units = BigInt(found[2] + (found[3] || "").slice(0, decimals).padEnd(decimals, "0"));
    return found[1] ? -units : units;
  };
  const shown = (units) => {
    const digits = String(units < 0n ? -units : units).padStart(decimals + 1, "0");
    const whole = digits.slice(0, digits.length - decimals).replace(/\B(?=(\d{3})+$)/g, ",");
    const fraction = decimals ? "." + digits.slice(-decimals) : "";
    return (units < 0n ? "-" : "") + bar.dataset.symbol + whole + fraction;
  };
  const add = () => {
    const amounts = fields.filter((field) => field.value.trim()).map((field) => minor(field.value));
    bar.querySelector("output").textContent = amounts.includes(null) ? "–" : shown(amounts.reduce((a, b) => a + b, 0n));
  };
  for (const field of fields) field.addEventListener("input", add);
  bar.hidden = false;
  add();
})();
