"""What people read, word by word."""

from dataclasses import replace
from typing import Any

import pytest

from notifier.message import Message, common_start, compose, fold
from store.deliveries import Lease, Word
from store.records import Heartbeat, Incident, Settings

T = 1_800_000_000_000  # 2027-01-15 08:00:00 UTC
ID = "0123456789ab"
PROBLEM_WORDS: tuple[Word, ...] = ("opened", "resolved")


def heartbeat(name: str = "backup", *, last_ping_at: int | None = T - 90_000, **settings: Any) -> Heartbeat:
    return Heartbeat(
        id=ID, token="", project="default", settings=Settings(name=name, period=60, grace=30, **settings), rev=1,
        created_at=T - 1_000_000, stored_status="down", since=T, deadline=None, last_ping_at=last_ping_at,
        last_fail_at=None, resume_at=None, incident=f"{ID}-{T}", running_since=None, slot=None,
        last_duration_ms=None,
    )  # fmt: skip


def incident(**changes: Any) -> Incident:
    opened = Incident(
        id=f"{ID}-{T}", heartbeat=ID, project="default", status="open", cause="silence", opened_at=T, resolved_at=None,
        resolution="", last_ping_at=T - 90_000, exit_status="", output=b"", channels=(),
    )  # fmt: skip
    return replace(opened, **changes)


def resolved(seconds: int = 3_900, **changes: Any) -> Incident:
    return incident(**{"status": "resolved", "resolved_at": T + seconds * 1000, "resolution": "ping"} | changes)


def lease(word: Word, **changes: Any) -> Lease:
    return replace(Lease(f"{ID}-{T}", word), **changes)


def opened_message(**settings: Any) -> Message:
    return compose("c1", lease("opened"), incident(), heartbeat(**settings))


def test_a_silence_says_since_when_and_what_was_expected() -> None:
    message = opened_message()

    assert message.title == "backup is down"
    assert message.text == "No ping came by 2027-01-15 08:00:00 UTC."
    assert message.details == (
        ("Last ping", "2027-01-15 07:58:30 UTC"),
        ("Expected by", "2027-01-15 07:59:30 UTC"),
        ("Period", "1 min"),
        ("Grace", "30 s"),
    )
    assert message.plain.startswith(f"{message.text}\n\nLast ping: 2027-01-15 07:58:30 UTC\nExpected by: ")
    assert (message.event, message.at, message.priority, message.output) == ("incident.opened", T, 8, b"")
    assert message.id == f"msg_{ID}-{T}_c1_opened"
    assert message.thread == f"{ID}-{T}"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"cause": "failure", "exit_status": "3"}, "The job reported a failure: exit status 3."),
        ({"cause": "failure", "exit_status": "TERM"}, "The job reported a failure: exit status TERM."),
        ({"cause": "failure"}, "The job reported a failure."),
        ({"cause": "overrun"}, "A run did not finish in time: it was due at 2027-01-15 08:00:00 UTC."),
    ],
)
def test_the_cause_is_told(changes: dict[str, Any], text: str) -> None:
    message = compose("c1", lease("opened"), incident(last_ping_at=None, **changes), heartbeat(last_ping_at=None))

    assert message.text == text
    assert message.plain.startswith(f"{text}\n\nLast ping: never\n")
    assert ("Exit status", changes.get("exit_status")) in message.details or not changes.get("exit_status")


def test_an_alert_text_stands_in_front_and_the_rest_behind_it() -> None:
    message = opened_message(alert_text="Позвоните дежурному.\n1. Срочно!")

    assert message.text.startswith("Позвоните дежурному.\n1. Срочно!\n\nNo ping came by")
    assert message.payload["heartbeat"]["alert_text"] == "Позвоните дежурному.\n1. Срочно!"


@pytest.mark.parametrize("recovery_text", ["", "   ", " \n\t "])
def test_without_a_recovery_text_the_default_is_sent(recovery_text: str) -> None:
    message = compose("c1", lease("resolved"), resolved(), heartbeat(recovery_text=recovery_text))

    assert message.title == "backup is up again"
    assert message.text == "It was down for 1 h 5 min, since 2027-01-15 08:00:00 UTC."
    assert (message.event, message.at) == ("incident.resolved", T + 3_900_000)


def test_a_recovery_text_stands_in_front_of_the_default() -> None:
    message = compose("c1", lease("resolved"), resolved(5), heartbeat(recovery_text="Всё хорошо"))

    assert message.text == "Всё хорошо\n\nIt was down for 5 s, since 2027-01-15 08:00:00 UTC."


@pytest.mark.parametrize(("priority", "told"), [(10, 3), (8, 3), (3, 3), (1, 1), (0, 0)])
def test_good_news_wakes_nobody(priority: int, told: int) -> None:
    assert compose("c1", lease("resolved"), resolved(), heartbeat(priority=priority)).priority == told
    assert compose("c1", lease("opened"), incident(), heartbeat(priority=priority)).priority == priority


@pytest.mark.parametrize(
    ("resolution", "title"),
    [("ping", "backup is up again"), ("paused", "backup was paused"), ("deleted", "backup was deleted")],
)
def test_how_it_ended_is_told(resolution: str, title: str) -> None:
    message = compose("c1", lease("resolved"), resolved(resolution=resolution), heartbeat())

    assert message.title == title
    assert message.payload["incident"]["resolution"] == resolution


def test_a_void_incident_is_taken_back() -> None:
    message = compose("c1", lease("resolved"), resolved(status="void"), heartbeat())

    assert message.text == "The ping had come in time; it was written late. There was no outage."
    assert message.payload["incident"]["status"] == "resolved"


def test_one_that_nobody_remembers_is_told_by_its_id() -> None:
    message = compose("c1", lease("opened"), incident(), None)

    assert message.title == f"{ID} is down"
    assert message.text == "No ping came by 2027-01-15 08:00:00 UTC."
    assert message.payload["heartbeat"] == {"id": ID, "name": None}


def test_a_test_says_that_it_is_one() -> None:
    asked = incident(status="test", cause="test", heartbeat="")

    message = compose("c1", lease("test"), asked, None)

    assert (message.event, message.title, message.priority) == ("test", "Test message from flatline", 2)
    assert message.payload["heartbeat"] == {"id": None, "name": None}
    assert message.payload["incident"]["status"] == "test"


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("Резервная копия", "Резервная копия is down"),
        ("a\r\nBcc: all@example.org", "a Bcc: all@example.org is down"),
        ("<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)> is down"),
        ("👩\u200d🚀" * 25, "👩\u200d🚀" * 25 + " is down"),
        ("\u202egnp.exe", "gnp.exe is down"),
        ("\x00\x1b\u2028", f"{ID} is down"),
    ],
)
def test_a_title_is_one_line_whatever_the_name(name: str, title: str) -> None:
    message = opened_message(name=name)

    assert message.title == title
    assert message.payload["heartbeat"]["name"] == name  # JSON needs no cleaning


def test_the_webhooks_body_has_the_promised_fields() -> None:
    failed = incident(cause="failure", exit_status="3", output=b"no space \xff")

    message = compose("c1", lease("opened"), failed, heartbeat(tags=("db", "eu")))

    assert message.output == b"no space \xff"
    assert message.payload == {
        "event": "incident.opened",
        "id": f"msg_{ID}-{T}_c1_opened",
        "at": "2027-01-15T08:00:00.000Z",
        "title": message.title,
        "text": message.plain,
        "priority": 8,
        "url": None,
        "runbook_url": None,
        "heartbeat": {
            "id": ID, "name": "backup", "status": "down", "tags": ("db", "eu"), "period": 60, "grace": 30,
            "priority": 8, "alert_text": "", "recovery_text": "", "last_ping_at": "2027-01-15T07:58:30.000Z",
        },
        "incident": {
            "id": f"{ID}-{T}", "status": "open", "cause": "failure", "opened_at": "2027-01-15T08:00:00.000Z",
            "resolved_at": None, "resolution": None, "exit_status": 3, "output": "no space \N{REPLACEMENT CHARACTER}",
        },
    }  # fmt: skip


def test_an_alert_that_is_repeated_late_still_says_what_it_said() -> None:
    """An opening is retried in its own words, though the incident may have ended since."""
    early, late = opened_message(), compose("c1", lease("opened"), resolved(), heartbeat())

    assert late.payload["incident"] == early.payload["incident"]
    assert (late.id, late.at, late.title) == (early.id, early.at, early.title)


@pytest.mark.parametrize(("exit_status", "shown"), [("3", 3), ("0", 0), ("TERM", "TERM"), ("", None)])
def test_an_exit_status_is_a_number_where_it_is_one(exit_status: str, shown: object) -> None:
    message = compose("c1", lease("opened"), incident(cause="failure", exit_status=exit_status), heartbeat())

    assert message.payload["incident"]["exit_status"] == shown


def leases(count: int, word: Word = "opened") -> list[Lease]:
    return [Lease(f"{number:012x}-{T}", word) for number in range(count)]


def test_a_folded_message_lists_twenty_names_and_the_tags_that_they_share() -> None:
    found = [heartbeat(f"h{number:02}", tags=("eu", f"t{number}", "db")) for number in range(20)]

    message = fold(compose("c1", lease("opened"), incident(), found[0]), found, leases(300))

    assert message.title == "300 heartbeats are down"
    assert message.text == (
        "The first 20 are tagged db, eu.\n\n" + "".join(f"- h{n:02}\n" for n in range(20)) + "and 280 more"
    )
    assert message.payload["folded"] == {
        "count": 300, "heartbeats": [f"h{n:02}" for n in range(20)], "tags": ["db", "eu"], "name_prefix": "",
    }  # fmt: skip
    assert message.payload["heartbeat"]["name"] == "h00"
    assert message.payload["incident"]["id"] == f"{ID}-{T}"
    assert message.payload["id"] == message.id


def test_a_folded_message_of_few_names_them_all_and_claims_no_tag_that_one_lacks() -> None:
    found = [heartbeat(f"h{number}", tags=("eu",)) for number in range(6)]
    first = compose("c1", lease("opened"), incident(), found[0])

    assert fold(first, found, leases(6)).text.startswith("All of them are tagged eu.\n\n- h0\n")
    assert fold(first, [*found[:5], heartbeat("h5")], leases(6)).text == "\n".join(f"- h{n}" for n in range(6))


def test_a_folded_message_is_as_loud_as_its_loudest_and_a_recovery_as_quiet_as_any() -> None:
    found = [heartbeat(f"h{number}", priority=number) for number in range(10)]

    assert fold(compose("c1", lease("opened"), incident(), found[0]), found, leases(10)).priority == 9
    assert fold(compose("c1", lease("resolved"), resolved(), found[0]), found, leases(10)).priority == 3


@pytest.mark.parametrize(
    ("back", "title"), [(True, "9 heartbeats are up again"), (False, "9 heartbeats are no longer down")]
)
def test_a_folded_recovery_claims_no_ping_that_did_not_come(back: bool, title: str) -> None:  # noqa: FBT001
    first = compose("c1", lease("resolved"), resolved(), heartbeat())

    assert fold(first, [heartbeat()], leases(9), back=back).title == title


def test_names_nobody_remembers_are_counted() -> None:
    message = fold(compose("c1", lease("opened"), incident(), None), [], leases(6))

    assert message.text == "and 6 more"
    assert message.payload["folded"] == {"count": 6, "heartbeats": [], "tags": [], "name_prefix": ""}


def test_a_folded_message_has_the_id_of_its_incidents_in_any_order() -> None:
    first = compose("c1", lease("opened"), incident(), heartbeat())

    same = {fold(first, [], some).id for some in (leases(6), leases(6)[::-1])}

    assert len(same) == 1
    assert fold(first, [], leases(7)).id not in same
    assert first.id not in same


@pytest.mark.parametrize(
    ("names", "shared"),
    [
        (("db-eu-1", "db-eu-2", "db-us-1"), "db-"),
        (("db-eu-1", "db-eu-2"), "db-eu-"),
        (("backup", "backup2"), ""),
        (("a-1", "a-2"), ""),
        (("x", "y"), ""),
        (("same-1", "same-1"), "same-"),
    ],
)
def test_what_names_begin_with_is_told_up_to_a_sign_that_parts_words(names: tuple[str, ...], shared: str) -> None:
    assert common_start(names) == shared


def test_a_folded_message_tells_what_the_silent_share() -> None:
    found = [heartbeat(f"rack 7/host-{number}", tags=("eu",)) for number in range(8)]
    first = compose("c1", lease("opened"), incident(), found[0], url="https://flatline.example/incidents/1")

    message = fold(first, found, leases(8))

    assert message.text.startswith("All of them are tagged eu and named rack 7/host-…\n\n- rack 7/host-0\n")
    assert message.payload["folded"]["name_prefix"] == "rack 7/host-"
    assert message.payload["url"] == message.url == "https://flatline.example/incidents/1"


def test_a_reminder_says_how_long_it_has_been() -> None:
    reminder = lease("reminder", at=T + 7_200_000, times=3)

    message = compose("c1", reminder, incident(), heartbeat(runbook_url="https://wiki.example/db"))

    assert (message.event, message.title) == ("incident.reminder", "backup is still down")
    assert message.text.endswith("That was 2 h ago, and nobody has acknowledged it.")
    assert message.plain.endswith("Runbook: https://wiki.example/db")
    assert message.id == f"msg_{ID}-{T}_c1_reminder_3"


def test_whom_a_later_step_brings_in_hears_that_it_was_escalated() -> None:
    message = compose("c1", lease("opened", step=1), incident(), heartbeat())

    assert (message.event, message.title) == ("incident.escalated", "backup is still down")


def test_who_is_late_is_told_softly() -> None:
    warning = incident(status="late", cause="late")

    message = compose("c1", lease("late"), warning, heartbeat(priority=9))

    assert (message.event, message.title, message.priority) == ("heartbeat.late", "backup is late", 4)
    assert message.text == (
        "A ping was expected by 2027-01-15 08:00:00 UTC. An incident opens if none comes within 30 s of that."
    )


def test_a_problem_of_our_own_has_no_heartbeat() -> None:
    trouble = incident(heartbeat="", cause="problem", problem="Redis keeps nothing.")

    opened, over = (
        compose("c1", lease(word), replace(trouble, resolved_at=T + 60_000), None) for word in PROBLEM_WORDS
    )

    assert (opened.title, opened.text) == ("flatline has a problem", "Redis keeps nothing.")
    assert (over.title, over.text) == ("flatline: a problem is over", "It was: Redis keeps nothing.")
    assert opened.details == ()
