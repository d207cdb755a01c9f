"""What a ping's path and query say."""

import pytest

from ingest.paths import Query, Target, parse_path, parse_query

TOKEN = "3f1c9a52-6b0e-4d27-9c41-0a7be2d5f816"
KEY = "k3x9q0vb7m2t5w8y1z4a6c"
BAD = "invalid url format"


@pytest.mark.parametrize("prefix", ["/ping/", "/", "/heartbeat/ping/", "/api/v1/heartbeat/", "//ping/", "/ping//"])
@pytest.mark.parametrize(
    ("last", "target"),
    [
        ("", Target(TOKEN)),
        ("/", Target(TOKEN)),
        ("/start", Target(TOKEN, "start")),
        ("/start/", Target(TOKEN, "start")),
        ("/fail", Target(TOKEN, "fail")),
        ("/log", Target(TOKEN, "log")),
        ("/0", Target(TOKEN, "success", "0")),
        ("/000", Target(TOKEN, "success", "0")),
        ("/1", Target(TOKEN, "fail", "1")),
        ("/007", Target(TOKEN, "fail", "7")),
        ("/255", Target(TOKEN, "fail", "255")),
        ("/256", Target(TOKEN, error=BAD)),
        ("/99999999999999999999", Target(TOKEN, error=BAD)),
        ("/TERM", Target(TOKEN, "fail", "TERM")),
        ("/KILL", Target(TOKEN, "fail", "KILL")),
        ("/FAIL", Target(TOKEN, error=BAD)),
        ("/foo", None),
        ("/-1", None),
        ("/0x1", None),
        ("/1.5", None),
        ("/٣", None),
        ("/start/now", None),
    ],
)
def test_every_form_of_url_carries_the_same_signals(prefix: str, last: str, target: Target | None) -> None:
    assert parse_path(prefix + TOKEN + last) == target


@pytest.mark.parametrize("token", [TOKEN.upper(), TOKEN.replace("-", "")])
def test_a_token_may_come_in_capitals_or_without_dashes(token: str) -> None:
    assert parse_path(f"/ping/{token}") == Target(TOKEN)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/ping",
        "/ping/",
        "/metrics",
        "/api/heartbeats",
        "/ping/not-a-token",
        f"/ping/{KEY}",
        f"/{KEY}/srv01",
        f"/heartbeat/ping/{KEY}/srv01",
        f"/ping/{KEY}/a.b",
        f"/ping/{KEY}/a b",
        f"/ping/{KEY}/{'s' * 101}",
        f"/ping/{'k' * 101}/srv01",
        f"/ping/{KEY}/srv01/foo",
        f"/ping/{KEY}/srv01/start/now",
        f"/ping/{KEY}.x/srv01",
        "/ping/" + TOKEN[:-1],
        "/ping/" + TOKEN + "a",
        "/ping/" + TOKEN.replace("3", "g"),
        "/ping/" + TOKEN.replace("3", "³"),
        "/ping/" + TOKEN.replace("-", "_"),
        "/login/" + TOKEN + "/start/x",
        "/heartbeat/" + TOKEN[:8] + TOKEN[9:13] + "/pause",
    ],
)
def test_other_paths_are_no_pings(path: str) -> None:
    assert parse_path(path) is None


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("srv01", Target(KEY, slug="srv01")),
        ("srv01/", Target(KEY, slug="srv01")),
        ("srv01/fail", Target(KEY, "fail", slug="srv01")),
        ("srv01/3", Target(KEY, "fail", "3", slug="srv01")),
        ("srv01/256", Target(KEY, slug="srv01", error=BAD)),
        ("start", Target(KEY, slug="start")),
        ("0", Target(KEY, slug="0")),
        ("0/0", Target(KEY, "success", "0", slug="0")),
        ("-_-", Target(KEY, slug="-_-")),
        ("s" * 100, Target(KEY, slug="s" * 100)),
        ("SRV01", Target(KEY, slug="SRV01", error=BAD)),
        ("SRV01/fail", Target(KEY, slug="SRV01", error=BAD)),
    ],
)
def test_a_ping_key_addresses_slugs_with_the_same_signals(path: str, target: Target) -> None:
    assert parse_path(f"/ping/{KEY}/{path}") == target


RID = "c0ffee00-1234-4abc-8def-0123456789ab"
BAD_RID = Query(error="invalid uuid format")


@pytest.mark.parametrize(
    ("query", "parsed"),
    [
        ("", Query()),
        ("x=1", Query()),
        (f"rid={RID}", Query(RID)),
        (f"rid={RID.upper()}", Query(RID)),
        (f"a=b&rid={RID}&c", Query(RID)),
        (f"rid=00000000-0000-0000-0000-000000000000&rid={RID}", Query(RID)),
        ("rid=", BAD_RID),
        ("rid=12345", BAD_RID),
        (f"rid={{{RID}}}", BAD_RID),
        (f"rid={RID[:-1]}", BAD_RID),
        (f"rid={RID}0", BAD_RID),
        (f"rid={RID.replace('-', '')}", BAD_RID),
        ("rid=12345&create=1", BAD_RID._replace(create=True)),
        ("create=1", Query(create=True)),
        ("create=true", Query()),
        ("create=0", Query()),
        ("create=1&create=0", Query()),
        (f"create=1&rid={RID}&every=60&grace=0", Query(RID, create=True, period=60, grace=0)),
        ("create=1&every=0", Query(create=True, error="every must be between 1 and 31622400 seconds")),
        ("create=1&grace=-1", Query(create=True, error="grace must be between 0 and 31622400 seconds")),
        ("create=1&every=1e3", Query(create=True, error="every must be between 1 and 31622400 seconds")),
        ("every=nonsense", Query()),
    ],
)
def test_a_query_names_a_run_and_asks_for_a_heartbeat(query: str, parsed: Query) -> None:
    assert parse_query(query.encode()) == parsed
