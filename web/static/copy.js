// Copying and printing. The page works without it.
for (const button of document.querySelectorAll("button[data-copies]")) {
  const source = document.getElementById(button.dataset.copies);
  const outcome = document.getElementById(button.getAttribute("aria-describedby"));
  if (!source || !navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", () => {
    const lines = source.querySelectorAll("code");
    const text = lines.length ? Array.from(lines, (line) => line.textContent).join("\n") : source.textContent;
    navigator.clipboard.writeText(text).then(
      () => { outcome.textContent = button.dataset.done; },
      () => { outcome.textContent = ""; },
    );
  });
}

const print = document.getElementById("print");
if (print) {
  print.hidden = false;
  print.addEventListener("click", () => window.print());
}
