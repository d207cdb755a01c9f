// What the pages do by themselves. Each module stands alone, and a page without scripts still works.
import { drawCharts } from "./chart.js";
import { watchCopies } from "./copy.js";
import { keepMarks } from "./marks.js";
import { follow } from "./live.js";
import { makeTabs } from "./tabs.js";
import { keepTime, showTimes } from "./times.js";
import { say } from "./say.js";

function refresh() {
  showTimes();
  makeTabs();
  drawCharts();
  keepMarks();
}

document.getElementById("theme")?.addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  const next = now === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  localStorage.setItem("theme", next);
  say(`${next} colours`);
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  const search = document.getElementById("q");
  if (event.key === "/" && search && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    search.focus();
  }
});

document.addEventListener("htmx:afterSettle", refresh);
document.addEventListener("htmx:oobAfterSwap", refresh);
document.addEventListener("htmx:responseError", (event) => {
  const page = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html");
  say(page.querySelector("main p")?.textContent ?? "That did not work. Try again.");
});
document.addEventListener("htmx:sendError", () => say("flatline cannot be reached. Try again."));

refresh();
keepTime();
watchCopies();
follow();
