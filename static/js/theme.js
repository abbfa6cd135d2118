// Light, dark or the system's choice. Kept in a cookie, so that the server writes it into <html> and nothing flashes.
"use strict";

(() => {
  const YEAR = 365 * 24 * 60 * 60;

  const choose = (theme) => {
    const root = document.documentElement;
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `theme=${theme}; Path=/; Max-Age=${theme === "auto" ? 0 : YEAR}; SameSite=Lax${secure}`;
    show();
  };

  const show = () => {
    const current = document.documentElement.dataset.theme || "auto";
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === current));
    }
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme-choice]");
    if (button) choose(button.dataset.themeChoice);
  });
  show();
})();
