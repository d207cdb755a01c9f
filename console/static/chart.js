// How long runs took. Drawn anew when the colours or the width change.
const HEIGHT = 180;

function ink(name) {
  const probe = document.createElement("i");
  probe.className = `ink-${name}`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

function seconds(value) {
  if (value === 0) return "0";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 120) return `${Math.round(value * 10) / 10} s`;
  return value < 7200 ? `${Math.round(value / 6) / 10} min` : `${Math.round(value / 360) / 10} h`;
}

function draw(place) {
  const data = JSON.parse(place.dataset.chart);
  const axis = { stroke: ink("soft"), grid: { stroke: ink("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  const options = {
    width: place.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { drag: { x: false, y: false } },
    scales: { y: { range: (_, low, high) => [0, (high || 1) * 1.1] } },
    axes: [axis, { ...axis, size: 64, values: (_, found) => found.map(seconds) }],
    series: [{}, { label: "took", stroke: ink("main"), width: 2, points: { show: true, size: 5, fill: ink("main") } }],
  };
  place.replaceChildren();
  new uPlot(options, data, place);
}

export function drawCharts() {
  if (typeof uPlot === "undefined") return;
  for (const place of document.querySelectorAll("[data-chart]")) if (!place.firstChild) draw(place);
}

function again() {
  for (const place of document.querySelectorAll("[data-chart]")) draw(place);
}

let width = innerWidth;
addEventListener("resize", () => {
  if (width !== innerWidth) again();
  width = innerWidth;
});
new MutationObserver(again).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
