"""What a ping means where its heartbeat has rules: only POST counts, words in the body decide, slots are owed."""

from rules import schedules
from store.arrivals import Ping
from store.changes import Known
from store.records import Settings


def meaning(settings: Settings, method: str, signal: str, exit_status: str, body: bytes) -> tuple[str, str]:
    """The signal that counts, with its exit status. Words are looked for as bytes, failures first: bad news wins."""
    if settings.post_only and method != "POST":
        return "ignored", ""
    words = {"fail": settings.failure_words, "success": settings.success_words, "start": settings.start_words}
    if not any(words.values()):
        return signal, exit_status
    for meant, ones in words.items():
        if any(word.encode() in body for word in ones):
            return meant, exit_status if meant == signal else ""
    return settings.unmatched, ""


def reckon(ping: Ping, known: Known) -> None:
    """With a schedule: what is owed after this ping, as arrive.lua wants it."""
    if known.rules is None or not known.rules.settings.schedule:
        return
    s = known.rules.settings
    ping.rev = known.rules.rev
    due = schedules.due(s.schedule, s.timezone, ping.at, grace=s.grace, misses=s.misses)
    ping.dues = f"{due.slot} {due.deadline}"
    credited = schedules.credited(s.schedule, s.timezone, ping.at, grace=s.grace, misses=s.misses, early=s.early)
    if credited is not None:
        ping.dues += f" {credited.slot} {credited.deadline}"
