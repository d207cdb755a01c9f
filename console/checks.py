"""What a request names that only the store, or another field, can confirm. All raise Invalid, or InUse."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, Literal

from console.errors import InUse, Invalid
from console.routing import Context
from rules import schedules
from store import plans

ANY_SCHEDULE: Final = "* * * * *"  # a time zone is checked even where it does not count yet
USERS_SHOWN: Final = 5


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


def known(field: str, wanted: Iterable[str], there: Collection[str], what: str) -> None:
    """`there`: the ids that exist, of `what`."""
    for id_ in wanted:
        if id_ not in there:
            raise Invalid(f"{field} names {id_}, and there is no such {what}", field=field)


def unused(what: str, users: Sequence[str]) -> None:
    """`users`: who needs it, in words."""
    if users:
        more = f" and {len(users) - USERS_SHOWN} more" if len(users) > USERS_SHOWN else ""
        raise InUse(f"this {what} is in use by {', '.join(users[:USERS_SHOWN])}{more}: take it out there first")


def policies_with(targets: Literal["channels", "people", "schedules"], id_: str, plan: plans.Plan) -> list[str]:
    """The policies with a step that names it, in words."""
    using = [policy for policy in plan.policies.values() if any(id_ in getattr(step, targets) for step in policy.steps)]
    return [f'the policy "{name}"' for name in sorted(policy.name for policy in using)]
