"""Whether a request that changes something comes from a page of ours, and not from a page that a visitor was led to."""

from urllib.parse import urlsplit

from starlette.requests import Request


def is_ours(request: Request) -> bool:
    """Browsers say where a request comes from, by Sec-Fetch-Site or, over plain HTTP, by Origin. What says neither is
    no browser: it has no cookie that a stranger could use.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
