"""Finished answers: the same bytes for everybody, so made once."""

from typing import Final

from starlette.types import Message

#: The head and the body, as ASGI wants them.
Answer = tuple[Message, Message]

TEXT: Final = b"text/plain; charset=utf-8"
JSON: Final = b"application/json"


def answer(status: int, text: str, *headers: tuple[bytes, bytes], kind: bytes = TEXT) -> Answer:
    body = text.encode()
    base = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    return (
        {"type": "http.response.start", "status": status, "headers": [*base, *headers]},
        {"type": "http.response.body", "body": body},
    )


NO_STORE: Final = (b"cache-control", b"no-store")
ANY_ORIGIN: Final = (b"access-control-allow-origin", b"*")
METHODS: Final = (b"allow", b"GET, HEAD, POST, OPTIONS")

NOT_FOUND: Final = answer(404, "not found", NO_STORE)
AMBIGUOUS: Final = answer(409, "ambiguous slug", NO_STORE)
FULL: Final = answer(403, "fleet is full", NO_STORE)
HALF: Final = answer(400, "the body did not come in whole", NO_STORE)  # nobody is left to hear it
METHOD: Final = answer(405, "method not allowed", NO_STORE, METHODS)
UNAVAILABLE: Final = answer(503, "unavailable, try again", NO_STORE, (b"retry-after", b"2"))
OVERLOADED: Final = answer(503, "overloaded, try again", NO_STORE, (b"retry-after", b"5"))
OPTIONS: Final = (
    {
        "type": "http.response.start",
        "status": 204,
        "headers": [ANY_ORIGIN, (b"access-control-allow-methods", b"GET, HEAD, POST"), METHODS],
    },
    {"type": "http.response.body", "body": b""},
)


class Refused(Exception):
    """A ping is not taken: what is counted, and what is answered."""

    def __init__(self, result: str, said: Answer) -> None:
        self.result = result
        self.said = said
