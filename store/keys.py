"""Every key, built in one place. docs/data-model.md tells the same at length, with sizes and a state chart.

All keys that one script touches share a hash tag, ``{<shard>}``, so one code base runs on a single server, behind
Sentinel and on a Cluster. Times and scores are whole milliseconds since the epoch in Redis' clock; a fraction of .5
on a deadline says that it was granted (by a resume, an edit, an excuse): no ping stands behind it.
"""

from binascii import crc32

#: Records of the control plane, under one tag of their own.
META = "{flatline}:meta"  # hash: schema, shards; written once
CHANNELS = "{flatline}:channels:"  # + project; hash: channel id -> JSON record
PEOPLE = "{flatline}:people:"  # + project; hash: person id -> JSON record
ONCALL = "{flatline}:oncall:"  # + project; hash: id of an on-call schedule -> JSON record
POLICIES = "{flatline}:policies:"  # + project; hash: policy id -> JSON record
WINDOWS = "{flatline}:windows:"  # + project; hash: id of a maintenance window -> JSON record
FLEETS = "{flatline}:fleets:"  # + project; zset, lexicographic: ``<name, case folded><NUL><fleet>``
PING_KEYS = "{flatline}:ping_keys"  # hash: ping key -> "fleet <id>" or "project <name>"
PROJECT = "{flatline}:project:"  # + project; hash: ping_key, secret
SLUGS = "{flatline}:slugs:"  # + project; zset, lexicographic: ``<slug><NUL><heartbeat>``
BROKEN = "{flatline}:broken:"  # + project; hash: channel id -> JSON, why it cannot be told; until it can, or an edit
THREADS = "{flatline}:thread:"  # + channel:thread; set: incidents told together that are not over; 60 days
OPERATOR_CHANNELS = "{flatline}:operator_channels"  # string: ids of channels, joined by spaces
USERS = "{flatline}:users"  # hash: user id -> JSON record, with the hash of the password
LOGINS = "{flatline}:logins"  # hash: login -> user id
PROJECTS = "{flatline}:projects"  # hash: project id -> JSON record; "default" is always there and need not be in it
MEMBERS = "{flatline}:members:"  # + project; hash: user id -> owner, member or reader
API_KEYS = "{flatline}:api_keys"  # hash: SHA-256 of a key -> JSON record
API_KEYS_OF = "{flatline}:api_keys:"  # + project; hash: id of a key -> its SHA-256
API_KEYS_USED = "{flatline}:api_keys_used"  # hash: SHA-256 of a key -> when it was last used
SESSION = "{flatline}:session:"  # + SHA-256 of its id; string: JSON record; until idle for a week, or 30 days
SIGN_IN = "{flatline}:sign_in:"  # + SHA-256 of a token; string: the token opens /login once; an hour
ATTEMPTS = "{flatline}:attempts:"  # + kind:number; string: tries to sign in; 15 minutes
DEFAULT_PROJECT = "default"


def shard_of(heartbeat: str, shards: int) -> int:
    """The shard that holds a heartbeat, its incidents and its deliveries."""
    return crc32(heartbeat.encode()) % shards


def heartbeat_of(incident: str) -> str:
    """An incident's id is ``<heartbeat id>-<opened ms>``, so it names its shard."""
    return incident.partition("-")[0]


def channels(project: str) -> str:
    """Hash: channel id -> JSON record; lives until deleted."""
    return CHANNELS + project


def project(name: str) -> str:
    """Hash: ``ping_key``, and ``secret``, from which the tokens of provisioned heartbeats are derived."""
    return PROJECT + name


def slugs(project: str) -> str:
    """Zset, lexicographic: ``<slug><NUL><heartbeat>``. A hint: written before the heartbeat and removed after it."""
    return SLUGS + project


def fleets(project: str) -> str:
    """Zset, lexicographic: ``<name, case folded><NUL><fleet>``; with the fleet."""
    return FLEETS + project


def thread(channel: str, name: str) -> str:
    """Set: the incidents of a thread that are not over."""
    return f"{THREADS}{channel}:{name}"


class Shard:
    """The keys of one shard. ``fixed`` is what every script gets as KEYS, in the order that common.lua names."""

    def __init__(self, number: int) -> None:
        self.number = number
        tag = self.tag = f"{{{number}}}:"
        self.deadlines = tag + "deadlines"  # zset: heartbeat id -> deadline, +inf = parked
        self.timers = tag + "timers"  # zset: resume:<id>, overdue:<id>:<rid>, settle:<id> -> due; behind the gate
        self.chores = tag + "chores"  # zset: retry:<incident>:<channel> -> due; everything else that is due
        self.open = tag + "incidents:open"  # zset: incident id -> opened
        self.closed = tag + "incidents:closed"  # zset: incident id -> closed; trimmed by the script that closes
        self.notifications = tag + "notifications"  # stream, group "notifier": "look here"; deleted once acknowledged
        self.pulse = tag + "pulse"  # hash: at, run, node:<node>, walk
        self.deaf = tag + "deaf"  # zset: from -> to; at most 100 windows in which we could not hear
        self.changes = tag + "changes"  # stream: id, n; what ingest nodes must forget; about 10,000 entries
        self.dead = tag + "dead"  # zset: <incident>:<channel> -> given up; deliveries kept for a human
        self.fleets = tag + "fleets"  # zset: fleet -> a moment before which nothing is to be done for it
        self.problems = tag + "problems"  # hash: <kind> <subject> -> the latest incident of this problem of our own
        self.fixed = (
            self.deadlines,
            self.timers,
            self.chores,
            self.open,
            self.closed,
            self.notifications,
            self.pulse,
            self.deaf,
            self.changes,
            self.dead,
            self.fleets,
        )

    def heartbeat(self, heartbeat: str) -> str:
        """Hash: settings and state; lives until deleted."""
        return f"{self.tag}heartbeat:{heartbeat}"

    def deleted(self, heartbeat: str) -> str:
        """Hash: what a deleted heartbeat was, for messages still to be sent; four days."""
        return f"{self.tag}deleted:{heartbeat}"

    def events(self, heartbeat: str) -> str:
        """Stream: the last 100 (or some more) pings and changes."""
        return f"{self.tag}events:{heartbeat}"

    def outputs(self, heartbeat: str) -> str:
        """Stream: output of successes, starts and logs, by event id; at most 20 rows and 32 kB."""
        return f"{self.tag}outputs:{heartbeat}"

    def failures(self, heartbeat: str) -> str:
        """Stream: the last failures with their output; at most 20 rows and 32 kB."""
        return f"{self.tag}failures:{heartbeat}"

    def incident(self, incident: str) -> str:
        """Hash: one incident; 30 days after its closing."""
        return f"{self.tag}incident:{incident}"

    def delivery(self, incident: str, channel: str) -> str:
        """Hash: what one channel was told about one incident; 30 days after the last word."""
        return f"{self.tag}delivery:{incident}:{channel}"

    @property
    def unseen(self) -> str:
        """Zset: incident -> when it is named in the outbox again; those that nobody has taken note of."""
        return self.tag + "unseen"

    def told(self, channel: str) -> str:
        """Stream: what a channel was sent, the last 200 (or some more) messages; 30 days after the last."""
        return f"{self.tag}told:{channel}"

    def names(self, project: str) -> str:
        """Zset, lexicographic: ``<name, case folded><NUL><id>``."""
        return f"{self.tag}names:{project}"

    def status(self, project: str, status: str) -> str:
        """Zset, lexicographic like names: the heartbeats in this status (pending, up, down, paused)."""
        return f"{self.tag}status:{project}:{status}"

    def tagged(self, project: str, tag: str) -> str:
        """Zset, lexicographic like names: the heartbeats with this tag."""
        return f"{self.tag}tag:{project}:{tag}"

    def fleet(self, fleet: str) -> str:
        """Hash: a fleet's template, copied to each shard."""
        return f"{self.tag}fleet:{fleet}"

    def fleet_deadlines(self, fleet: str) -> str:
        """Zset: member's slug -> deadline; a member that is up is this entry and nothing else."""
        return f"{self.tag}fleet:{fleet}:deadlines"

    def fleet_down(self, fleet: str) -> str:
        """Zset: silent member's slug -> since; the entry goes when the member returns."""
        return f"{self.tag}fleet:{fleet}:down"

    def fleet_causes(self, fleet: str) -> str:
        """Hash: slug -> exit status or "fail"; only members that are silent because they said so."""
        return f"{self.tag}fleet:{fleet}:causes"

    def fleet_returning(self, fleet: str) -> str:
        """Zset: slug -> since; members that were silent when the fleet was paused, on their way back to deadlines."""
        return f"{self.tag}fleet:{fleet}:returning"
