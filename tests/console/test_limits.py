"""Every limit of every field, as one table."""

from typing import Any

from tests.console.conftest import Api

DAYS_366 = 31_622_400
SECONDS = f"between 1 and {DAYS_366} seconds (366 days), got "
CONTROL = "must have no control characters"

REFUSED: list[tuple[str, Any, str]] = [
    ("name", None, "name must be a string"),
    ("name", 5, "name must be a string"),
    ("name", "", "name must have 1 to 100 characters, got 0"),
    ("name", "я" * 101, "name must have 1 to 100 characters, got 101"),
    ("name", "a\r\nX-Evil: 1", CONTROL),
    ("name", "a\x00b", CONTROL),
    ("name", "a\u2028b", CONTROL),
    ("name", " a", "no spaces at its ends"),
    ("period", 0, "period must be " + SECONDS + "0"),
    ("period", -1, SECONDS + "-1"),
    ("period", DAYS_366 + 1, SECONDS + "31622401"),
    ("period", 10**30, "period must be a whole number"),
    ("period", "3600", "period must be a whole number between 1"),
    ("period", 3600.5, "period must be a whole number"),
    ("period", True, "period must be a whole number"),
    ("period", None, "period must be a whole number"),
    ("grace", -1, f"grace must be between 0 and {DAYS_366} seconds (366 days), got -1"),
    ("grace", DAYS_366 + 1, "grace must be between 0"),
    ("slug", "", "slug must be 1 to 100 of the characters a-z, 0-9, _ and -"),
    ("slug", "A", "slug must be 1 to 100"),
    ("slug", "a" * 101, "slug must be 1 to 100"),
    ("slug", "a/b", "slug must be 1 to 100"),
    ("slug", "a\n", "slug must be 1 to 100"),
    ("slug", 7, "slug must be 1 to 100"),
    ("schedule", "", "schedule must have 1 to 100 characters, got 0"),
    ("schedule", " \n", "schedule must not be empty"),
    ("schedule", "0 3 * * *".ljust(101), "schedule must have 1 to 100 characters, got 101"),
    ("schedule", "0 25 * * *", "schedule is not a valid cron expression"),
    ("schedule", "0 0 31 2 *", "schedule is not a valid cron expression"),
    ("schedule", "soon", "schedule is neither five fields of cron nor valid OnCalendar"),
    ("schedule", "2030-01-01", "schedule must not name a year"),
    ("schedule", "@daily", "schedule must not be a nickname"),
    ("schedule", "daily Europe/Atlantis", "schedule names an unknown time zone"),
    ("schedule", 5, "schedule must be a string"),
    ("timezone", "", "timezone must have 1 to 64 characters, got 0"),
    ("timezone", "x" * 65, "timezone must have 1 to 64 characters, got 65"),
    ("timezone", "Europe/Atlantis", "timezone must be a name such as Europe/Berlin or UTC"),
    ("timezone", "../../../etc/passwd", "timezone must be a name"),
    ("timezone", None, "timezone must be a string"),
    ("early", -1, "early must be between 0 and 3600 seconds, got -1"),
    ("early", 3601, "early must be between 0 and 3600 seconds, got 3601"),
    ("early", None, "early must be a whole number between 0 and 3600 seconds"),
    ("recover_after", 0, "recover_after must be between 1 and 100 pings, got 0"),
    ("recover_after", 101, "recover_after must be between 1 and 100 pings, got 101"),
    ("post_only", "yes", "post_only must be a valid boolean"),
    ("failure_words", "ERROR", "failure_words must be a valid list"),
    ("failure_words", [""], "failure_words[0] must have 1 to 100 characters, got 0"),
    ("success_words", ["a", "x" * 101], "success_words[1] must have 1 to 100 characters, got 101"),
    ("start_words", ["a\nb"], "start_words[0] must have no control characters, so no line ends"),
    ("start_words", ["a\x1c"], "start_words[0] must have no control characters"),
    ("failure_words", ["a", "a"], "failure_words must not name the same entry twice"),
    ("failure_words", [str(number) for number in range(21)], "failure_words must have at most 20 entries, got 21"),
    ("unmatched", "success", "unmatched must be 'ignored' or 'fail'"),
    ("unmatched", None, "unmatched must be 'ignored' or 'fail'"),
    ("rate_limit", 0, "rate_limit must be between 1 and 60000 pings a minute, got 0"),
    ("rate_limit", 60_001, "rate_limit must be between 1 and 60000 pings a minute, got 60001"),
    ("durability", "tape", "durability must be 'memory', 'disk' or 'replica'"),
    ("misses", 0, "misses must be between 1 and 100, got 0"),
    ("misses", 101, "misses must be between 1 and 100, got 101"),
    ("misses", False, "misses must be a whole number"),
    ("max_runtime", 0, "max_runtime must be " + SECONDS + "0"),
    ("max_runtime", DAYS_366 + 1, "max_runtime must be " + SECONDS),
    ("tags", "prod", "tags must be a valid list"),
    ("tags", {"prod": 1}, "tags must be a valid list"),
    ("tags", [""], "tags[0] must have 1 to 50 characters"),
    ("tags", ["a", "b" * 51], "tags[1] must have 1 to 50 characters, got 51"),
    ("tags", ["a\nb"], "tags[0] " + CONTROL),
    ("tags", ["a", "a"], "tags must not name the same entry twice"),
    ("tags", [str(number) for number in range(21)], "tags must have at most 20 entries, got 21"),
    ("tags", [1], "tags[0] must be a string"),
    ("channels", "all", "channels must be a valid list"),
    ("channels", ["x"], "channels[0] must be the id of a channel"),
    ("channels", [7], "channels[0] must be the id of a channel"),
    ("alert_text", "я" * 2001, "alert_text must have at most 2000 characters, got 2001"),
    ("alert_text", "a\x1b[31m", CONTROL),
    ("alert_text", "a\x1f", CONTROL),
    ("alert_text", "a\u2028", CONTROL),
    ("recovery_text", "x" * 2001, "recovery_text must have at most 2000 characters"),
    ("recovery_text", 1, "recovery_text must be a string"),
    ("priority", -1, "priority must be between 0 and 10, got -1"),
    ("priority", 11, "priority must be between 0 and 10, got 11"),
    ("priority", True, "priority must be a whole number"),
    ("resume_on_ping", 1, "resume_on_ping must be a valid boolean"),
    ("resume_on_ping", "true", "resume_on_ping must be a valid boolean"),
]

TAKEN: list[tuple[str, Any]] = [
    ("name", "x"),
    ("name", "я" * 100),
    ("period", 1),
    ("period", DAYS_366),
    ("grace", 0),
    ("grace", DAYS_366),
    ("slug", "a"),
    ("slug", "-" * 100),
    ("slug", None),
    ("schedule", "0 3 * * *".ljust(100)),
    ("schedule", "*-02-29"),
    ("schedule", None),
    ("timezone", "America/Argentina/ComodRivadavia"),
    ("early", 0),
    ("early", 3600),
    ("recover_after", 100),
    ("post_only", True),
    ("failure_words", [f"{'я' * 98}{number:02}" for number in range(20)]),
    ("success_words", []),
    ("start_words", [" ", "  "]),
    ("unmatched", "fail"),
    ("rate_limit", 1),
    ("rate_limit", 60_000),
    ("rate_limit", None),
    ("durability", "memory"),
    ("durability", None),
    ("misses", 100),
    ("max_runtime", 1),
    ("max_runtime", DAYS_366),
    ("max_runtime", None),
    ("tags", [f"{'т' * 48}{number:02}" for number in range(20)]),
    ("channels", []),
    ("channels", None),
    ("alert_text", "я" * 2000),
    ("recovery_text", "a\n\tb\n"),
    ("priority", 0),
    ("priority", 10),
    ("resume_on_ping", True),
]


async def test_what_is_out_of_its_limits_is_refused_with_the_field_and_the_limit(api: Api) -> None:
    path = "/api/heartbeats/" + (await api.heartbeat())["id"]
    before = (await api.get(path)).body
    for field, value, message in REFUSED:
        for answer in (
            await api.post("/api/heartbeats", {"name": "x", field: value}),
            await api.patch(path, {field: value}),
        ):
            assert (answer.status, answer.error["code"], answer.error["field"]) == (422, "invalid", field), (
                field,
                value,
            )
            assert message in answer.error["message"]

    assert (await api.get("/api/heartbeats")).body["heartbeats"] == [before]


async def test_what_is_just_within_its_limits_is_taken(api: Api) -> None:
    path = "/api/heartbeats/" + (await api.heartbeat())["id"]
    for field, value in TAKEN:
        assert (await api.heartbeat(**{"name": "x", field: value}))[field] == value
        assert (await api.patch(path, {field: value})).body[field] == value


MISNAMED: list[tuple[dict[str, Any], str, str]] = [
    ({}, "name", "name is required"),
    ({"name": "x", "perid": 60}, "perid", 'unknown field "perid"; did you mean "period"?'),
    ({"nmae": "x"}, "nmae", 'unknown field "nmae"; did you mean "name"?'),
    ({"name": "x", "qqqq": 60}, "qqqq", 'unknown field "qqqq"; known are name, slug, period'),
    ({"name": "x", "a\r\nb": 60}, "a b", 'unknown field "a b"'),
]


async def test_missing_and_unknown_fields_are_named(api: Api) -> None:
    for body, field, message in MISNAMED:
        answer = await api.post("/api/heartbeats", body)

        assert (answer.status, answer.error["field"]) == (422, field)
        assert message in answer.error["message"]


QUERIES: list[tuple[str, str, str]] = [
    ("/api/heartbeats?limit=0", "limit", "limit must be between 1 and 500, got 0"),
    ("/api/heartbeats?limit=501", "limit", "limit must be between 1 and 500, got 501"),
    ("/api/heartbeats?limit=ten", "limit", "limit must be a whole number between 1 and 500"),
    ("/api/heartbeats?limit=%D9%A1", "limit", "limit must be a whole number"),
    ("/api/heartbeats?status=dead", "status", "status must be 'pending', 'up', 'late', 'down' or 'paused'"),
    ("/api/heartbeats?staus=down", "staus", 'unknown field "staus"; did you mean "status"?'),
    ("/api/heartbeats?tag=", "tag", "tag must have 1 to 50 characters"),
    ("/api/heartbeats?cursor=nonsense", "cursor", "cursor must be the next_cursor of another page"),
    ("/api/heartbeats?cursor=", "cursor", "cursor must be"),
    ("/api/heartbeats?cursor=%D1%8F", "cursor", "cursor must be"),
    ("/api/heartbeats?cursor=!!!!", "cursor", "cursor must be"),
    ("/api/heartbeats/0123456789ab/events?limit=501", "limit", "limit must be between 1 and 500, got 501"),
    ("/api/heartbeats/0123456789ab/events?cursor=nonsense", "cursor", "cursor must be"),
    ("/api/heartbeats/0123456789ab/events?cursor=MC0w", "cursor", "cursor must be"),  # 0-0: nothing is before it
    ("/api/schedules/preview", "schedule", "schedule is required"),
    ("/api/schedules/preview?schedule=soon", "schedule", "schedule is neither five fields of cron"),
    ("/api/schedules/preview?schedule=daily&timezone=Mars", "timezone", "timezone must be a name such as"),
    ("/api/schedules/preview?schedule=daily&count=21", "count", "count must be between 1 and 20, got 21"),
    ("/api/schedules/preview?schedule=daily&count=0", "count", "count must be between 1 and 20, got 0"),
    ("/api/schedules/preview?schedule=daily&grace=-1", "grace", "grace must be a whole number"),
    ("/api/schedules/preview?schedule=daily&misses=101", "misses", "misses must be between 1 and 100, got 101"),
    ("/api/fleets?limit=0", "limit", "limit must be between 1 and 500, got 0"),
    ("/api/fleets?cursor=nonsense", "cursor", "cursor must be the next_cursor of another page"),
    ("/api/fleets/0123456789ab/members?status=pending", "status", "status must be 'up', 'late', 'down' or 'paused'"),
    ("/api/incidents?cursor=nonsense", "cursor", "cursor must be"),
    ("/api/incidents?limit=0", "limit", "limit must be between 1 and 500"),
    ("/api/incidents?status=void", "status", "status must be 'open' or 'resolved'"),
    ("/api/deliveries", "status", "status is required"),
    ("/api/deliveries?status=told", "status", "status must be 'dead'"),
    ("/api/deliveries?status=dead&limit=1000", "limit", "limit must be between 1 and 500"),
]


async def test_a_query_is_held_to_its_limits(api: Api) -> None:
    for path, field, message in QUERIES:
        answer = await api.get(path)

        assert (answer.status, answer.error["field"]) == (422, field)
        assert message in answer.error["message"]
