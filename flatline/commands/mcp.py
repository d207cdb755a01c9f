"""`flatline mcp`: the tools of console/mcp_tools.py on stdin and stdout, for assistants that start a program."""

import asyncio
from collections.abc import Sequence
from typing import Any

from flatline.commands.api import OK, Api, Refused, add_options, api_of
from flatline.commands.main import guarded
from flatline.commands.words import Parser


def parser() -> Parser:
    words = Parser(
        prog="flatline mcp",
        description="Serve an assistant over stdin and stdout, with what the given key may do.",
        epilog="exit status: 0 the client has left, 1 error, 2 wrong usage.",
        allow_abbrev=False,
    )
    add_options(words)
    return words


def main(words: Sequence[str]) -> int:
    """The command after `flatline mcp`; its exit status."""
    options = parser().parse_args(words)
    return guarded("flatline mcp", lambda: _serve(api_of(options)))


def _serve(api: Api) -> int:
    from mcp.server.mcpserver.exceptions import ToolError  # noqa: PLC0415 - a second of imports, not for --help

    from console import mcp_tools  # noqa: PLC0415

    async def outside(
        method: str, path: str, body: object = None, query: dict[str, object] | None = None
    ) -> tuple[int, dict[str, Any]]:
        try:
            return await asyncio.to_thread(api.ask, method, path, body, query=query)
        except Refused as error:
            raise ToolError(str(error)) from None

    asyncio.run(mcp_tools.over_stdio(outside))
    return OK
