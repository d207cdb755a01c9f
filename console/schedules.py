"""What a schedule would expect, before a heartbeat lives by it."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from console import answers, checks
from console.routing import Call
from console.schemas import ScheduleQuery
from rules import schedules


async def preview(call: Call[ScheduleQuery]) -> answers.Preview:
    """Show the next slots of a schedule, and when the silence after each would become an incident."""
    asked = call.given
    checks.schedule_can_be_kept(asked.schedule, asked.timezone)
    now = await call.context.db.now()
    slots = schedules.slots(asked.schedule, asked.timezone, now, asked.count)
    return answers.Preview(slots=tuple(_shown(slot, asked) for slot in slots))


def _shown(slot: int, asked: ScheduleQuery) -> answers.Slot:
    due = schedules.due(asked.schedule, asked.timezone, slot - 1, grace=asked.grace, misses=asked.misses)
    local = datetime.fromtimestamp(slot // 1000, UTC).astimezone(ZoneInfo(asked.timezone))
    return answers.Slot(at=slot, local=local.isoformat(), deadline_at=due.deadline)
