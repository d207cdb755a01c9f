"""The sign of each status: a shape of its own, so that none is known by its colour alone."""

from typing import Final

from markupsafe import Markup

#: Drawn in a square of 16.
SHAPES: Final = {
    "up": '<path d="M8 1.5 14.5 8 8 14.5 1.5 8z" fill="currentColor" stroke="none"/>',
    "late": '<path d="M8 2v6l4 2.5"/><circle cx="8" cy="8" r="6.25"/>',
    "down": '<path d="M1 2.5h14L8 14.5z" fill="currentColor" stroke="none"/>',
    "pending": '<circle cx="8" cy="8" r="6" stroke-dasharray="2.6 2.1"/>',
    "paused": '<path d="M5 2.5v11M11 2.5v11" stroke-width="3"/>',
}


def sign(status: str) -> Markup:
    """Hidden from screen readers: the word of the status stands beside it."""
    shape = Markup(SHAPES[status])  # noqa: S704 - a constant of ours
    return Markup(
        '<svg class="sign" viewBox="0 0 16 16" width="14" height="14" fill="none" stroke="currentColor" '
        'stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">{}</svg>'
    ).format(shape)
