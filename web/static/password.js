// Comfort for password fields. The page works without it.
for (const toggle of document.querySelectorAll("button.toggle")) {
  const field = document.getElementById(toggle.getAttribute("aria-controls"));
  if (!field) continue;
  const show = (visible) => {
    field.type = visible ? "text" : "password";
    const words = toggle.dataset; // in the language of the page
    toggle.textContent = visible ? words.hide : words.show;
    toggle.setAttribute("aria-label", visible ? words.hideLabel : words.showLabel);
  };
  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    show(field.type === "password");
    field.focus();
  });
  // A browser offers to save passwords only, and remembers what was typed
  // into plain text fields.
  field.form.addEventListener("submit", () => show(false));
}

// What each field says of Caps Lock stands under it.
for (const caps of document.querySelectorAll(".field [data-caps]")) {
  const field = caps.closest(".field").querySelector("input");
  const warn = (event) => {
    if (!event.getModifierState) return;
    const on = event.getModifierState("CapsLock");
    const text = on ? caps.dataset.caps : "";
    if (caps.textContent !== text) caps.textContent = text;
  };
  field.addEventListener("keydown", warn);
  field.addEventListener("keyup", warn);
  field.addEventListener("blur", () => { caps.textContent = ""; });
}
