"""The CPU of one ping as a picture: a bar each, in colours that read on light and dark."""

from collections.abc import Sequence
from html import escape
from statistics import median
from typing import Final

from tests.bench.load import Run

NAMES: Final = {
    "nginx": "nginx, return 200 and nothing else",
    "members": "flatline, member of a fleet",
    "webdis": "webdis (C), one ZADD",
    "heartbeats": "flatline, heartbeat with event log",
    "pushgateway, unchecked": "Pushgateway (Go), checks off",
}
OURS: Final = ("members", "heartbeats")
WIDTH: Final = 720
LABEL: Final = 270
ROW: Final = 34


def picture(runs: Sequence[Run], machine: str) -> str:
    """An SVG document. What takes a hundred times as long is told in the table only."""
    rows = [
        (name, connections, median(run.cpu_us for run in mine))
        for name in NAMES
        for connections in dict.fromkeys(run.connections for run in runs)
        if (mine := [run for run in runs if (run.contender, run.connections) == (name, connections)])
    ]
    longest = max((value for _, _, value in rows), default=1.0)
    bars = []
    for number, (name, connections, value) in enumerate(rows):
        y, width = 48 + number * ROW, (WIDTH - LABEL - 130) * value / longest
        colour = "#0f8a5f" if name in OURS else "#8a94a6"
        bars.append(
            f'<text x="{LABEL - 12}" y="{y + 15}" text-anchor="end">{escape(NAMES[name])}</text>'
            f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="22" rx="3" fill="{colour}"/>'
            f'<text x="{LABEL + width + 8:.1f}" y="{y + 15}">{value:.1f} µs · {connections} conns</text>'
        )
    height = 48 + len(rows) * ROW + 30
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#6b7280" role="img" '
        'aria-label="CPU microseconds per ping">\n'
        '<text x="12" y="24" font-size="15" font-weight="600">CPU per acknowledged ping, one core, same run</text>\n'
        + "\n".join(bars)
        + f'\n<text x="12" y="{height - 10}" font-size="11">{escape(machine)}</text>\n</svg>\n'
    )
