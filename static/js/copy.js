// Copy buttons. <button data-copy="text"> copies the text, <button data-copy-from="#id"> what the element shows.
"use strict";

(() => {
  const SHOWN_FOR = 1600; // milliseconds

  const textOf = (button) => {
    if (button.dataset.copy !== undefined) return button.dataset.copy;
    const source = document.querySelector(button.dataset.copyFrom);
    return source ? (source.value ?? source.textContent).trimEnd() : "";
  };

  // Plain http on another host than localhost has no clipboard API.
  const copyBySelection = (text) => {
    const area = document.createElement("textarea");
    area.value = text;
    area.setAttribute("readonly", "");
    area.className = "visually-hidden";
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  };

  const announce = (text) => {
    const region = document.getElementById("announcements");
    if (region) region.textContent = text;
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy], [data-copy-from]");
    if (!button) return;
    const text = textOf(button);
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      copyBySelection(text);
    }
    button.dataset.copied = "";
    announce(button.dataset.copiedLabel || "");
    setTimeout(() => delete button.dataset.copied, SHOWN_FOR);
  });
})();
