// Dialogs: [data-dialog-open="id"] opens, [data-dialog-close] closes, a click on the backdrop closes. A dialog without scripts is
// reached by its link (the opener is an <a href> to the page that asks the same).
"use strict";

(() => {
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog-open]");
    if (opener) {
      const dialog = document.getElementById(opener.dataset.dialogOpen);
      if (dialog && dialog.showModal) {
        event.preventDefault();
        dialog.showModal();
      }
      return;
    }
    const closer = event.target.closest("[data-dialog-close]");
    if (closer) {
      closer.closest("dialog").close();
      return;
    }
    if (event.target instanceof HTMLDialogElement && event.target.matches(".dialog:not([data-dialog-firm])")) {
      event.target.close();
    }
  });

  for (const dialog of document.querySelectorAll("dialog[data-dialog-now]")) dialog.showModal();
})();
