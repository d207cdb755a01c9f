"""The hot path's own encoding is what any client would send."""

import pytest

from store.arrivals import EVENTS, REPLIES_OFF, REPLIES_ON, Ping, _pack, log_row


@pytest.mark.parametrize(
    "ping",
    [
        Ping("0123456789ab", 1_800_000_000_000),
        Ping("0123456789ab", 7),
        Ping("0123456789ab", 1_800_000_000_000, exit_status="0", sender=b"::1", agent=b"curl/8.5.0 %s %d \xff\r\n"),
    ],
)
def test_a_log_row_is_packed_as_the_client_library_packs_it(ping: Ping) -> None:
    key = b"{0}:events:0123456789ab"
    command = (
        "XADD", key, "NOMKSTREAM", "MAXLEN", "~", EVENTS, "*", "kind", "success", "at", ping.at,
        "exit", ping.exit_status, "from", ping.sender, "agent", ping.agent,
    )  # fmt: skip

    assert log_row(key, ping) == _pack(*command)


def test_the_switches_around_them_are_too() -> None:
    assert _pack("CLIENT", "REPLY", "OFF") == REPLIES_OFF
    assert _pack("CLIENT", "REPLY", "ON") == REPLIES_ON
