// Reads a count of tokens as dashboard/token_counts.py does: `500,000`, `0.5M`, `50만`. NaN is no count, 0 nothing at all.
"use strict";

globalThis.tokenCount = (typed) => {
  const MOST = 10 ** 12 - 1;
  const ZEROS = { k: 3, m: 6, b: 9, 천: 3, 만: 4, 백만: 6, 천만: 7, 억: 8, 조: 12 };
  const text = typed.trim().toLowerCase();
  if (!text) return 0;
  const found = /^([0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,20})(?:\.([0-9]{1,12}))?\s*(k|m|b|천|만|백만|천만|억|조)?$/.exec(text);
  if (!found) return NaN;
  const [, whole, fraction = "", unit] = found;
  const zeros = unit ? ZEROS[unit] : 0;
  if (/[1-9]/.test(fraction.slice(zeros))) return NaN;
  const count = Number(whole.replaceAll(",", "") + fraction.slice(0, zeros).padEnd(zeros, "0"));
  return count <= MOST ? count : NaN;
};
