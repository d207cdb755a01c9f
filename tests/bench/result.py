"""One figure of the design, as measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """`wanted`: the goal, `accepted`: what still resolves it; `at_most` False: the more the better."""

    what: str
    value: float
    unit: str
    wanted: float | None = None
    accepted: float | None = None
    at_most: bool = True
    note: str = ""

    @property
    def met(self) -> bool | None:
        return self._within(self.wanted)

    def _within(self, bound: float | None) -> bool | None:
        if bound is None:
            return None
        return self.value <= bound if self.at_most else self.value >= bound

    def __str__(self) -> str:
        said = f"{self.what}: {self.value:,.2f} {self.unit}"
        if self.wanted is not None:
            word = "at most" if self.at_most else "at least"
            verdict = "met" if self.met else "accepted" if self._within(self.accepted) else "NOT MET"
            said += f"; goal {word} {self.wanted:g}: {verdict}"
        return said + (f" ({self.note})" if self.note else "")
