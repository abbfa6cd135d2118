// A tip that follows the pointer over a chart. Without scripts the browser shows the slots' <title>s, and the table says the same.
"use strict";

(() => {
  const OFFSET = 14; // pixels from the pointer

  const tip = document.createElement("div");
  tip.className = "chart-tip";
  tip.hidden = true;
  document.body.append(tip);

  const take = (slot) => {
    const title = slot.querySelector("title");
    if (title) {
      slot.dataset.tip = title.textContent;
      title.remove();
    }
    return slot.dataset.tip;
  };

  const follow = (event) => {
    const slot = event.target.closest && event.target.closest(".chart-slot");
    tip.hidden = !slot;
    if (!slot) return;
    tip.textContent = take(slot);
    const { width, height } = tip.getBoundingClientRect();
    const left = event.clientX + OFFSET + width > innerWidth ? event.clientX - OFFSET - width : event.clientX + OFFSET;
    const top = Math.max(event.clientY - height - OFFSET, OFFSET);
    tip.style.transform = `translate(${Math.max(left, OFFSET)}px, ${top}px)`;
  };

  document.addEventListener("pointermove", follow);
  document.addEventListener("pointerdown", follow);
  document.addEventListener("scroll", () => (tip.hidden = true), { passive: true });
})();
