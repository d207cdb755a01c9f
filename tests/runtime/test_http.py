"""Head and body of an answer leave together; the head of a request is bounded."""

import asyncio

from runtime.http import OneWrite


class Recorder(asyncio.Transport):
    """Keeps every write by itself."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 5)})
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


async def test_what_one_turn_of_the_loop_writes_leaves_as_one() -> None:
    inner = Recorder()
    transport = OneWrite(inner, asyncio.get_running_loop())
    transport.write(b"head")
    transport.write(b"body")
    assert inner.writes == []
    await asyncio.sleep(0)
    assert inner.writes == [b"headbody"]

    transport.write(b"next")
    await asyncio.sleep(0)

    assert inner.writes == [b"headbody", b"next"]


async def test_closing_sends_what_was_written_and_nothing_after() -> None:
    inner = Recorder()
    transport = OneWrite(inner, asyncio.get_running_loop())
    transport.write(b"last")
    transport.close()
    transport.write(b"too late")
    await asyncio.sleep(0)

    assert inner.writes == [b"last"]
    assert inner.closed


async def test_everything_else_is_the_transports_own() -> None:
    transport = OneWrite(Recorder(), asyncio.get_running_loop())

    assert transport.get_extra_info("peername") == ("127.0.0.1", 5)
    assert transport.is_closing() is False
