// Panels on one page: [data-tabs] holds [data-panel="label"] elements. Without scripts all panels show, one below the other.
"use strict";

(() => {
  const show = (tabs, panels, index) => {
    tabs.forEach((tab, at) => {
      tab.setAttribute("aria-selected", String(at === index));
      tab.tabIndex = at === index ? 0 : -1;
      panels[at].hidden = at !== index;
    });
  };

  // Whoever reads the first example in TypeScript reads the next one in TypeScript, too.
  const remember = (label) => {
    try {
      sessionStorage.setItem("tab", label);
    } catch {
      // a private window may refuse
    }
  };

  const remembered = () => {
    try {
      return sessionStorage.getItem("tab");
    } catch {
      return null;
    }
  };

  const build = (group, number) => {
    const panels = [...group.querySelectorAll("[data-panel]")];
    const list = group.querySelector("[data-tab-list]");
    if (!list || panels.length < 2) return;
    list.setAttribute("role", "tablist");
    const tabs = panels.map((panel, at) => {
      const tab = document.createElement("button");
      tab.type = "button";
      tab.className = "tab";
      tab.id = `tab-${number}-${at}`;
      tab.textContent = panel.dataset.panel;
      tab.setAttribute("role", "tab");
      panel.id ||= `panel-${number}-${at}`;
      tab.setAttribute("aria-controls", panel.id);
      panel.setAttribute("role", "tabpanel");
      panel.setAttribute("aria-labelledby", tab.id);
      return tab;
    });
    list.replaceChildren(...tabs);
    const choose = (at) => {
      show(tabs, panels, at);
      remember(panels[at].dataset.panel);
    };
    list.addEventListener("click", (event) => {
      const at = tabs.indexOf(event.target);
      if (at < 0) return;
      choose(at);
    });
    list.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowLeft: -1 };
      const at = tabs.indexOf(document.activeElement);
      if (at < 0 || !(event.key in steps)) return;
      event.preventDefault();
      const next = (at + steps[event.key] + tabs.length) % tabs.length;
      choose(next);
      tabs[next].focus();
    });
    const start = panels.findIndex((panel) => panel.dataset.panel === remembered());
    show(tabs, panels, Math.max(start, 0));
  };

  document.querySelectorAll("[data-tabs]").forEach(build);
})();
