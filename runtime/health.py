"""What orchestrators and Prometheus ask every role: does it live, can it do its job now, how is it doing.

None of it needs a key, so none of it tells a secret: a probe's reason is ours, and an exception shows its type only.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import orjson
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PROBE_TIMEOUT_S = 2.0  # below the 3 to 5 s after which orchestrators give up themselves

Ready = Callable[[], Awaitable[Mapping[str, str]]]


def routes(role: str, ready: Ready, registry: CollectorRegistry) -> list[Route]:
    """Give the three endpoints. `ready` answers per probe: "" if fine, else a short reason without secrets."""

    async def healthz(_: Request) -> Response:
        return _json({"status": "ok"})

    async def readyz(_: Request) -> Response:
        probes = await _ask(ready)
        fine = not any(probes.values())
        answer = {"status": "ready" if fine else "not ready", "role": role}
        shown = {name: reason or "ok" for name, reason in probes.items()}
        return _json({**answer, "probes": shown}, 200 if fine else 503)

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]


async def _ask(ready: Ready) -> Mapping[str, str]:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            return await ready()
    except TimeoutError:
        return {"probes": f"no answer within {PROBE_TIMEOUT_S:g} s"}
    except Exception as error:  # noqa: BLE001  whatever it is, the answer is "not ready"
        return {"probes": type(error).__name__}


def _json(body: object, status: int = 200) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(orjson.dumps(body), status, headers, media_type="application/json")
