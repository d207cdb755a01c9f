// Follows what happens, and fetches anew what it concerns. A page in the background, or one for which the server has no
// room, asks now and then instead: a browser has only six connections to a server, for all of its pages.
import { now } from "./times.js";

const ASK_MS = 15000;
const TOLD = /^▼ \d+ down · /; // before the title of a page, also where the server wrote it
let source, asking, following, since, down;

const watched = () => [...document.querySelectorAll("[data-watch]")].map((each) => each.dataset.watch);

function favicon() {
  const text = down > 99 ? "99" : String(down);
  const drawn = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#b3261e"/><text x="16" y="23" font-family="sans-serif" font-size="20" font-weight="700" fill="#fff" text-anchor="middle">${text}</text></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(drawn)}`;
}

function showCounts(counts) {
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
  for (const each of document.querySelectorAll("[data-count]")) {
    const count = each.dataset.count === "all" ? all : counts[each.dataset.count];
    each.textContent = count.toLocaleString("en");
  }
}

function showDown() {
  const title = document.title.replace(TOLD, "");
  document.title = down ? `▼ ${down} down · ${title}` : title;
  document.documentElement.classList.toggle("has-down", down > 0);
  document.querySelector("link[rel=icon]").href = down ? favicon() : "/static/favicon.svg";
}

function show(told) {
  down = told.down;
  showCounts(told.counts);
  showDown();
}

function fetchAnew(ids) {
  const page = document.querySelector("[data-page]");
  if (page) {
    if (ids.includes(page.dataset.watch))
      htmx.ajax("GET", location.pathname, { target: "#live", select: "#live", swap: "outerHTML" });
    return;
  }
  const here = new Set(watched());
  const shown = ids.filter((id) => here.has(id));
  if (shown.length) htmx.ajax("GET", `/rows?ids=${shown.join(",")}`, { swap: "none" });
}

function take(message) {
  since = Number(message.lastEventId) || since;
  const told = JSON.parse(message.data);
  show(told);
  if (told.changed.length) fetchAnew(told.changed);
}

async function ask() {
  try {
    const answer = await fetch("/counts");
    if (answer.ok) show(await answer.json());
    if (!document.hidden) fetchAnew(watched());
  } catch {
    // The next time may do.
  }
}

function stop() {
  source?.close();
  clearInterval(asking);
  source = asking = undefined;
}

function start() {
  stop();
  following = watched().join(",");
  if (document.hidden) {
    asking = setInterval(ask, ASK_MS);
    return;
  }
  source = new EventSource(`/events?since=${Math.floor(since)}&ids=${following}`);
  source.onmessage = take;
  source.onerror = () => {
    if (source?.readyState === EventSource.CLOSED) {
      stop();
      asking = setInterval(ask, ASK_MS);
    }
  };
}

// What becomes late does so without anything happening.
function fetchStale() {
  const due = [...document.querySelectorAll("[data-stale]")].filter((each) => Number(each.dataset.stale) < now());
  for (const each of due) delete each.dataset.stale;
  if (due.length) fetchAnew(due.map((each) => each.dataset.watch));
}

export function follow() {
  if (!document.querySelector(".top nav a[href='/']")) return; // nobody, or a member of nothing
  since = Number(document.body.dataset.now) || now();
  down = Number(document.body.dataset.down ?? 0);
  showDown();
  start();
  setInterval(fetchStale, 1000);
  document.addEventListener("visibilitychange", start);
  document.addEventListener("htmx:afterSettle", () => {
    showDown(); // the title has come anew with what was fetched
    if (watched().join(",") !== following) start();
  });
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (event) => event.persisted && start());
}
