// Copies what stands beside a button. Over plain HTTP browsers have no clipboard, so a selection must do.
import { say } from "./say.js";

function copyBySelection(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "hidden";
  document.body.append(area);
  area.select();
  const worked = document.execCommand("copy");
  area.remove();
  return worked;
}

export function watchCopies() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    let worked = true;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
    } catch {
      worked = copyBySelection(button.dataset.copy);
      button.focus();
    }
    button.classList.toggle("done", worked);
    setTimeout(() => button.classList.remove("done"), 1500);
    say(worked ? "Copied" : "The browser does not let us copy");
  });
}
