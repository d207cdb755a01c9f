"""One balanced installation for all tests of this folder: nginx, two ingest nodes, sweeper, notifier, console."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.deploy.nginx import Nginx, binary, nginx
from tests.servers import binaries, running
from tests.system.processes import Api, House, Process, free_port, house

PROXIES = "127.0.0.1/32"  # where nginx comes from


@dataclass(frozen=True, slots=True)
class Installation:
    """`api` goes through nginx, like everything else."""

    nginx: Nginx
    house: House
    nodes: tuple[Process, Process]
    api: Api
    redis_url: str

    def logs(self) -> str:
        return self.nginx.logs() + self.house.logs()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    binary()  # skip before anything is started
    folder = tmp_path_factory.mktemp("installation")
    (folder / "nginx").mkdir()
    server = running(binaries()["valkey-9"], "--appendonly", "yes", "--appendfsync", "no")
    async with server as redis, house(folder, redis_url=redis.url) as here:
        a, b = here.make("ingest", trusted_proxies=PROXIES), here.make("ingest", trusted_proxies=PROXIES)
        addresses = [f"127.0.0.1:{node.port}" for node in (a, b)]
        port = free_port()
        console = here.make("console", public_url=f"http://127.0.0.1:{port}")
        front = nginx(folder / "nginx", port, ingest=addresses, console=f"127.0.0.1:{console.port}")
        others = (here.make("sweeper"), here.make("notifier"))
        await asyncio.gather(*(process.start() for process in (a, b, console, *others)))
        async with front as balancer, Api(balancer.url) as api:
            yield Installation(balancer, here, (a, b), api, redis.url)
