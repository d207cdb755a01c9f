// Times in the zone of the reader, kept up to date; the tooltip says UTC. The server's clock counts, not this one's.
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const short = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const rendered = Number(document.body.dataset.now);
const offset = rendered ? rendered - Date.now() : 0;

export const now = () => Date.now() + offset;

function parts(seconds, most) {
  const found = [];
  let rest = Math.max(0, Math.floor(seconds));
  for (const [size, unit] of UNITS) {
    if (rest >= size && found.length < most) found.push(`${Math.floor(rest / size)} ${unit}`);
    else if (found.length) break;
    rest %= size;
  }
  return found.join(" ") || "0 s";
}

const FORMS = {
  ago(at) {
    const seconds = (now() - at) / 1000;
    if (Math.abs(seconds) < 5) return "now";
    return seconds < 0 ? `in ${parts(-seconds, 1)}` : `${parts(seconds, 1)} ago`;
  },
  since: (at) => `for ${parts((now() - at) / 1000, 2)}`,
  left(at) {
    const seconds = (at - now()) / 1000;
    return seconds < 0 ? `${parts(-seconds, 2)} over` : `in ${parts(seconds, 2)}`;
  },
  clock(at) {
    const day = new Date(at);
    return day.toDateString() === new Date(now()).toDateString() ? short.format(day) : clock.format(day);
  },
};

export function showTimes() {
  for (const time of document.querySelectorAll("time[data-as]")) {
    const text = FORMS[time.dataset.as](Date.parse(time.dateTime));
    if (time.textContent !== text) time.textContent = text;
  }
}

export function keepTime() {
  setInterval(showTimes, 1000);
}
