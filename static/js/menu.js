// <details class="menu"> and <details class="tip"> open by themselves; this closes them: outside click, Escape, another menu.
"use strict";

(() => {
  const SELECTOR = "details.menu, details.tip";

  const closeAll = (except) => {
    for (const menu of document.querySelectorAll(SELECTOR)) {
      if (menu.open && !(except && menu.contains(except))) menu.open = false;
    }
  };

  document.addEventListener("click", (event) => closeAll(event.target));
  document.addEventListener("focusin", (event) => closeAll(event.target));

  document.addEventListener("keydown", (event) => {
    const menu = event.target.closest && event.target.closest(SELECTOR);
    if (!menu) return;
    if (event.key === "Escape" && menu.open) {
      menu.open = false;
      menu.querySelector("summary").focus();
      return;
    }
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const items = [...menu.querySelectorAll(".menu-item")];
    if (!items.length) return;
    event.preventDefault();
    menu.open = true;
    const step = event.key === "ArrowDown" ? 1 : -1;
    const at = items.indexOf(document.activeElement);
    items[(at + step + items.length) % items.length].focus();
  });
})();
