"""`python -m tests.bench.bare_posts <url> <count>`: the same POSTs with nothing behind them; prints the seconds."""

import asyncio
import sys
import time
from ipaddress import ip_network
from typing import Final

import uvloop

from notifier import outgoing

AT_ONCE: Final = 100
BODY: Final = b"{" + b" " * 900 + b"}"  # as long as a message
HEADERS: Final = {"content-type": "application/json", "webhook-id": "msg_0", "webhook-timestamp": "0"}


async def main(url: str, count: int) -> None:
    numbers = iter(range(count))
    async with outgoing.open_session(allow=(ip_network("127.0.0.0/8"),)) as session:

        async def some() -> None:
            for _ in numbers:
                outgoing.accepted(await outgoing.post(session, url, BODY, HEADERS))

        started = time.monotonic()
        await asyncio.gather(*(some() for _ in range(AT_ONCE)))
        print(time.monotonic() - started)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
