// A word to everybody: shown for a moment, and read by screen readers.
const SHOWN_MS = 4000;
let timer;

export function say(text) {
  const place = document.getElementById("said");
  place.textContent = text;
  clearTimeout(timer);
  timer = setTimeout(() => (place.textContent = ""), SHOWN_MS);
}
