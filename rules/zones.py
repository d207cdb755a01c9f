"""Wall-clock times in a zone whose clock jumps: some are skipped, some come twice."""

from datetime import datetime
from zoneinfo import ZoneInfo


def readings(local: datetime, zone: ZoneInfo) -> tuple[int, int]:
    """The moment that a wall-clock time names by the offset before a jump nearby, and by the one after it.

    Seconds since the epoch: the same twice on a usual day; ascending if the time is repeated, descending if skipped.
    """
    first, second = (int(local.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (0, 1))
    return first, second


def jump(low: int, high: int, zone: ZoneInfo) -> int:
    """The second between two at which the clock is turned."""
    offset = datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        is_before = datetime.fromtimestamp(middle, zone).utcoffset() == offset
        low, high = (middle, high) if is_before else (low, middle)
    return high


def moment(local: datetime, zone: ZoneInfo, *, last: bool = False) -> int:
    """When a clock on the wall shows `local`, ms: the first time, or the `last`; the jump, if it is skipped."""
    first, second = readings(local, zone)
    if first > second:
        return jump(second, first, zone) * 1000
    return (second if last else first) * 1000
