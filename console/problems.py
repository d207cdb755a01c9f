"""What is wrong with flatline itself, and whom it is told to."""

from typing import Annotated

from console import answers, checks, views
from console.fields import several
from console.routing import Call
from console.schemas import Body, ChannelId
from store import channels, deadlines, problems


class OperatorChannels(Body):
    """None = all channels of the project."""

    channels: Annotated[tuple[ChannelId, ...], *several()]


async def page(call: Call[None]) -> answers.OpenProblems:
    """List what is wrong with flatline itself, the oldest first; of other projects only to operators."""
    found = await problems.open_problems(call.context.db)
    caller = call.principal
    shown = [problem for problem in found if caller.operator or problem.project == caller.project]
    return answers.OpenProblems(problems=tuple(views.problem(problem) for problem in shown))


async def deaf(call: Call[None]) -> answers.DeafWindows:
    """List when nobody could have reached flatline, the newest first; what fell due then was excused."""
    now = await call.context.db.now()
    found = await deadlines.deaf_times(call.context.db, now)
    return answers.DeafWindows(deaf=tuple(views.deaf_window(start, end, now) for start, end in found))


async def operators(call: Call[None]) -> answers.Operators:
    """Read to which channels problems of flatline itself are told; none = all of the project."""
    return answers.Operators(channels=tuple(await problems.chosen_channels(call.context.db)))


async def choose_operators(call: Call[OperatorChannels]) -> answers.Operators:
    """Choose to which channels problems of flatline itself are told."""
    checks.known("channels", call.given.channels, await channels.ids(call.context.db), "channel")
    await problems.choose_channels(call.context.db, call.given.channels)
    return answers.Operators(channels=call.given.channels)
