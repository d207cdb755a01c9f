"""Who is told of an incident, and when: its channels, or the steps of its policy; reminders; maintenance windows.

DESIGN. What is to come stands in Redis as a chore, so it outlives every notifier. A chore that is due is handed out in
the outbox; what it means is decided here, from the records as they are then; and step.lua carries it out only if the
incident is still open, nobody has acknowledged it, and nobody else was faster.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from notifier.reading import legible_incidents, legible_owners
from rules import policies, windows
from rules.oncall import on_call
from rules.policies import Policy, Step
from runtime.logs import log
from store import channels, notifications, plans
from store.database import Database
from store.errors import StoreError
from store.fleets import Fleet
from store.plans import Plan
from store.records import Heartbeat, Incident

LOOK_AGAIN_MS: Final = 60_000  # a window may be changed or deleted before its end
DONE: Final = "done"  # the position behind the last step

logger = logging.getLogger(__name__)

Owner = Heartbeat | Fleet
Pair = tuple[str, str]  # incident, channel
Chore = tuple[str, int | None]  # name, when it is due in ms; None = it is done


@dataclass(slots=True)
class Told:
    """What is to be noted in Redis: pairs to be told now, chores for later; `at_once`: chores whose time has come;
    `failed`: incidents that come up again.
    """

    pairs: list[Pair] = field(default_factory=list)
    chores: list[Chore] = field(default_factory=list)
    at_once: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def add(self, other: "Told") -> None:
        self.pairs += other.pairs
        self.chores += other.chores
        self.at_once += other.at_once


class Now(NamedTuple):
    """What the decisions of this moment go by. `everyone`: all channels of the project."""

    at: int  # ms
    plan: Plan
    everyone: Sequence[str]


class Escalation:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def first(self, project: str, incidents: Sequence[str]) -> Told:
        """Who is to be told of incidents that were opened, or closed, just now. Raises Unavailable."""
        found = [incident for incident in await legible_incidents(self._db, incidents) if incident is not None]
        told = Told()
        if not found:
            return told
        owners = await legible_owners(self._db, found)
        now = await self._now(project)
        for incident, owner in zip(found, owners, strict=True):
            one = Told()
            try:
                _first(incident, owner, now, one)
            except Exception as error:  # noqa: BLE001 - those that were named with it are told all the same
                log(logger, logging.ERROR, "incident_failed", error, incident=incident.id)
                told.failed.append(incident.id)
                continue
            told.add(one)
        return told

    async def _now(self, project: str) -> Now:
        plan, everyone = await plans.plan(self._db, project), await channels.ids(self._db, project)
        return Now(await self._db.now(), plan, everyone)

    async def due(self, chores: Sequence[str]) -> list[tuple[str, list[Pair]]]:
        """Does chores whose time has come; of each project who is to be told now. Raises Unavailable.

        Many are read together: done one by one, a storm would drip onto the desks, which wait for company so long only.
        """
        found: list[tuple[str, list[Pair]]] = []
        for some in _rounds(chores):
            incidents = await legible_incidents(self._db, list(some))
            owners = iter(await legible_owners(self._db, [incident for incident in incidents if incident]))
            nows: dict[str, Now] = {}
            at_once: list[str] = []
            for (name, chore), incident in zip(some.items(), incidents, strict=True):
                owner = next(owners) if incident else None
                if incident is None or incident.status != "open":
                    await self._note([(chore, None)], name)
                    continue
                if incident.project not in nows:
                    nows[incident.project] = await self._now(incident.project)
                try:
                    told = await self._do(chore, incident, owner, nows[incident.project])
                except StoreError:
                    raise
                except Exception as error:  # noqa: BLE001 - it comes up again; those handed out with it go on
                    log(logger, logging.ERROR, "chore_failed", error, chore=chore)
                    continue
                at_once += told.at_once
                if told.pairs:
                    found.append((incident.project, told.pairs))
            found += await self.due(at_once)
        return found

    async def _do(self, chore: str, incident: Incident, owner: Owner | None, now: Now) -> Told:
        kind, name, told = chore.partition(":")[0], incident.id, Told()
        if kind == "window":
            _first(incident, owner, now, told)
            await notifications.enlist(self._db, self._db.shard(name), "", told.pairs, told.chores)
            return told
        if until := _held_until(owner, now):
            await self._note([(chore, until)], name)
            return told
        match kind:
            case "tell":
                whom = [chore.rpartition(":")[2]]
                is_told = await notifications.step(self._db, name, chore, whom, number=1)
            case "remind":
                whom, every = list(incident.channels), _remind_every(owner)
                count = int(incident.reminders or 0) + 1
                is_told = await notifications.step(
                    self._db, name, chore, whom, seen=incident.reminders, mark=str(count),
                    due=now.at + every if every else None,
                )  # fmt: skip
            case _:
                whom = await self._step(incident, owner, chore, now)
                is_told = bool(whom)
        if is_told:
            told.pairs += [(name, each) for each in whom]
        return told

    async def _step(self, incident: Incident, owner: Owner | None, chore: str, now: Now) -> list[str]:
        later: list[tuple[str, int]] = []
        policy = _policy(owner, now)
        step = policies.step_at(policy, incident.position) if policy and incident.position != DONE else None
        if policy is None or step is None:  # it was deleted or shortened meanwhile: nobody may be left untold
            chosen = owner.settings.channels if owner and not policy else None
            whom, following = [] if incident.channels else list(now.everyone if chosen is None else chosen), None
        else:
            whom, later = _whom(step, now)
            following = policies.next_position(policy, incident.position)
            if not (whom or later or following or incident.channels):  # nobody was on call, all the way
                whom = list(now.everyone)
        mark, due = (DONE, None) if following is None else (following[0], now.at + following[1] * 1000)
        chores: list[Chore] = [(f"tell:{incident.id}:{channel}", int(at)) for channel, at in later]
        if due is None and (every := _remind_every(owner)):
            chores.append((f"remind:{incident.id}", now.at + every))
        await self._note(chores, incident.id)  # first: what is noted twice is noted once
        position, number = incident.position, int(bool(incident.position))
        is_told = await notifications.step(
            self._db, incident.id, chore, whom, seen=position, mark=mark, due=due, number=number
        )
        return whom if is_told else []

    async def _note(self, chores: Iterable[Chore], incident: str) -> None:
        if chores := list(chores):
            await notifications.enlist(self._db, self._db.shard(incident), "", [], chores)


def _rounds(chores: Iterable[str]) -> list[dict[str, str]]:
    """Chores by their incidents, each incident once: what one chore does to it, the next is to see."""
    rounds: list[dict[str, str]] = []
    for chore in chores:
        name = chore.split(":")[1] if ":" in chore else ""
        free = next((some for some in rounds if name not in some), None)
        if free is None:
            rounds.append(free := {})
        free[name] = chore
    return rounds


def _first(incident: Incident, owner: Owner | None, now: Now, told: Told) -> None:
    """Whom an incident is told to is settled at the first look: the end goes to those who heard the beginning."""
    if incident.channels:
        told.pairs += [(incident.id, channel) for channel in incident.channels]
        return
    is_open = incident.status == "open"
    if until := _held_until(owner, now):
        if is_open:  # what has ended, or is only late, is not told at all
            told.chores.append((f"window:{incident.id}", until))
        return
    if incident.held:
        if not is_open:
            return  # it came and went in a window: recorded, and no more
        told.chores.append((f"window:{incident.id}", None))
    if policy := _policy(owner, now):
        wait_ms = policy.steps[0].wait * 1000
        if not is_open:  # it was over before the first step
            early = [] if wait_ms else _whom(policy.steps[0], now)[0]
            told.pairs += [(incident.id, channel) for channel in early]
            return
        due = incident.opened_at + wait_ms
        told.chores.append((f"escalate:{incident.id}", max(due, now.at)))
        if due <= now.at:
            told.at_once.append(f"escalate:{incident.id}")
        return
    chosen = owner.settings.channels if owner else None
    told.pairs += [(incident.id, channel) for channel in (now.everyone if chosen is None else chosen)]
    if is_open and (every := _remind_every(owner)):
        told.chores.append((f"remind:{incident.id}", now.at + every))


def _whom(step: Step, now: Now) -> tuple[list[str], list[tuple[str, int]]]:
    """Channels to tell now, and (channel, when) of those to tell later."""
    schedules = [now.plan.schedules[name] for name in step.schedules if name in now.plan.schedules]
    on_duty = [person for schedule in schedules if (person := on_call(schedule, now.at))]
    names = dict.fromkeys([*step.people, *on_duty])
    people = [now.plan.people[name] for name in names if name in now.plan.people]
    contacts = [contact for person in people for contact in person.contacts]
    at_once = [*step.channels, *(contact.channel for contact in contacts if not contact.wait)]
    later = [(contact.channel, now.at + contact.wait * 1000) for contact in contacts if contact.wait]
    return list(dict.fromkeys(at_once)), later


def _policy(owner: Owner | None, now: Now) -> Policy | None:
    return now.plan.policies.get(owner.settings.policy) if owner else None


def _remind_every(owner: Owner | None) -> int | None:
    """Milliseconds."""
    every = owner.settings.remind_every if owner else None
    return every * 1000 if every else None


def _held_until(owner: Owner | None, now: Now) -> int | None:
    """When to look again at what opens in a window, ms; None = it is in none."""
    if owner is None:
        return None
    until = windows.held_until(now.plan.windows, owner.id, owner.settings.tags, now.at)
    return None if until is None else int(min(until, now.at + LOOK_AGAIN_MS))
