"""What a request names that only the store, or another field, can confirm. All raise Invalid."""

from collections.abc import Sequence
from typing import Final

from console.errors import Invalid
from console.routing import Context
from rules import schedules
from store import channels

ANY_SCHEDULE: Final = "* * * * *"  # a time zone is checked even where it does not count yet


async def channels_exist(context: Context, wanted: Sequence[str] | None) -> None:
    if not wanted:
        return
    known = {channel.id for channel in await channels.of_project(context.db)}
    for channel in wanted:
        if channel not in known:
            raise Invalid(f"channels names {channel}, and there is no such channel", field="channels")


def durability_can_be_had(context: Context, wanted: str | None) -> None:
    """A replica may come and go, and a ping tells when there is none; the disk is a matter of how the server is set."""
    if wanted == "disk" and not context.db.server.can_sync:
        raise Invalid(
            "durability disk cannot be had: this Redis neither keeps an append-only file with appendfsync always, "
            "nor one that WAITAOF can wait for (Valkey, or Redis 7.2 and newer)",
            field="durability",
        )


def schedule_can_be_kept(schedule: str | None, timezone: str) -> None:
    try:
        schedules.check(schedule or ANY_SCHEDULE, timezone)
    except schedules.BadSchedule as error:
        raise Invalid(str(error), field=error.field) from None
