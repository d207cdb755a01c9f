"""From a lease to the message that one channel is sent: reads what it is about, and heeds what the channel wishes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from notifier import fleet_message
from notifier.channels import DeliveryError, Reason
from notifier.links import Links
from notifier.message import Message, compose, finished, fold
from notifier.reading import count_members, legible_incidents, legible_owners
from store.database import Database
from store.deliveries import Lease, Word
from store.fleets import Fleet
from store.records import Channel, Heartbeat, Incident

SAMPLE: Final = 200  # incidents of a folded message that are looked at for what they have in common

Owner = Heartbeat | Fleet
About = Mapping[str, tuple[Incident, Owner | None]]  # by the incident's id


class Writer:
    def __init__(self, db: Database, links: Links) -> None:
        self._db = db
        self._links = links

    async def read(self, incidents: Sequence[str]) -> About:
        """Incidents and whose they are, many at once; what cannot be read is left out. Raises Unavailable."""
        found = [incident for incident in await legible_incidents(self._db, incidents) if incident]
        owners = await legible_owners(self._db, found)
        return {incident.id: (incident, owner) for incident, owner in zip(found, owners, strict=True)}

    async def write(self, channel: Channel, word: Word, group: Sequence[Lease], about: About) -> Message:
        """One message for all of a group. Raises DeliveryError when there is nothing to say."""
        some = [(lease, *about[lease.incident]) for lease in group[:SAMPLE] if lease.incident in about]
        if not some:
            raise DeliveryError(Reason.SETTINGS, "the incident's record cannot be read")
        message = await self._about_one(channel, *some[0])
        if len(group) > 1 and word != "test":  # one test message answers for all who asked
            back = not any(incident.resolution in {"paused", "deleted"} for _, incident, _ in some)
            message = fold(message, [owner for _, _, owner in some if owner], group, back=back)
        wanted = channel.settings.get(_wish(word))
        return finished(replace(message, priority=wanted)) if isinstance(wanted, int) else message

    async def _about_one(self, channel: Channel, lease: Lease, incident: Incident, owner: Owner | None) -> Message:
        url = "" if lease.word in {"test", "late"} else await self._links.to(incident.id, channel.id)
        if not incident.fleet:
            return compose(channel.id, lease, incident, owner if isinstance(owner, Heartbeat) else None, url=url)
        fleet = owner if isinstance(owner, Fleet) else None
        members = await count_members(self._db, fleet.id) if fleet else 0
        return fleet_message.compose(channel.id, lease, incident, fleet, members=members, url=url)


def is_off(channel: Channel, word: Word) -> bool:
    """The owner wants no such messages there; "off" is apart from 0, which is sent without a sound."""
    return word != "test" and channel.settings.get(_wish(word)) == "off"


def _wish(word: Word) -> str:
    return "recovery_priority" if word in {"resolved", "acknowledged"} else "alert_priority"
