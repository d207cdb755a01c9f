"""The command line. Heavy imports wait until a command needs them."""

import argparse
import os
import re
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

EPILOG = """\
start here:
  flatline up                          everything on http://127.0.0.1:8000, data in ./data
  flatline up --host 0.0.0.0           reachable from other machines
  flatline up --redis-url redis://...  on a Redis or Valkey of your own

tell it about a job, from a crontab, a script or a unit file:
  flatline run <ping url> -- backup.sh   runs it and tells how it ended and what it printed
  flatline ping <ping url>               one signal

look and change from a shell, on this machine or another:
  flatline status                      what is down; flatline watch keeps showing it
  flatline heartbeat list              also: fleet, channel, incident, policy
  flatline doctor                      what is wrong with flatline itself

run the roles apart (any number of each; they meet only in Redis):
  flatline ingest     takes pings                    port 8000
  flatline console    JSON API                       port 8001
  flatline sweeper    finds what fell silent         port 8002
  flatline notifier   tells people                   port 8003

Every option of these has an environment variable, FLATLINE_<OPTION>, and there are more
settings than options: see docs/settings.md. Every role serves /healthz, /readyz and /metrics.
"""

CLIENTS = {
    "run": "run a command and tell flatline when it began, how it ended and what it printed last",
    "ping": "tell flatline that a job went well, began or failed",
}

API = {
    "heartbeat": "list, get, create, edit, pause, resume, rotate, delete heartbeats; their events",
    "fleet": "the same for fleets; their members",
    "channel": "list, get, create, edit, test, delete channels",
    "incident": "list, get, acknowledge, snooze incidents",
    "policy": "list, get, create, edit, delete escalation policies",
}

#: Each is a module of its own, with `main(words)`.
TOOLS = {
    "status": ("flatline.commands.status", "say what is down and late"),
    "watch": ("flatline.commands.watch", "show what is down and late, and keep showing it"),
    "doctor": ("flatline.doctor", "say what is wrong with flatline itself, and what to do"),
    "export": ("flatline.transfer", "write all that is configured, with its state, to a file"),
    "import": ("flatline.transfer", "read such a file into an empty server"),
    "demo": ("flatline.demo", "fill a server with a plausible fleet that pings, fails and recovers"),
    "mcp": ("flatline.commands.mcp", "serve assistants over stdin and stdout"),
}

ROLES = {
    "ingest": "take pings: stateless, run as many as you like behind a load balancer",
    "sweeper": "find heartbeats whose deadline has passed and open incidents",
    "notifier": "tell channels about incidents, with retries",
    "console": "serve the JSON API",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 = stopped as asked, 1 = could not start or crashed, 2 = wrong usage; of clients, as they say."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    is_client = words[:1] in ([name] for name in (*CLIENTS, *API, *TOOLS))
    try:
        return _tell(words[0], words[1:]) if is_client else _serve(_parser().parse_args(words))
    except KeyboardInterrupt:  # while modules are still being imported
        return 128 + signal.SIGINT if is_client else 0


def _tell(command: str, words: Sequence[str]) -> int:
    """The client commands read their own words: they start often, so they load nothing that only roles need."""
    if command in API:
        from flatline.commands import main as api  # noqa: PLC0415

        return api.main(command, words)
    if command in TOOLS:
        from importlib import import_module  # noqa: PLC0415

        tool = import_module(TOOLS[command][0])
        return int(tool.main(words, command) if command in {"export", "import"} else tool.main(words))
    if command == "ping":
        from flatline import ping  # noqa: PLC0415

        return ping.main(words)
    from flatline import run  # noqa: PLC0415

    return run.main(words)


class _Parser(argparse.ArgumentParser):
    """Says which command was probably meant, in place of listing all of them."""

    def error(self, message: str) -> NoReturn:
        typed = re.search("argument COMMAND: invalid choice: '(.*?)'", message)
        if typed:
            from difflib import get_close_matches  # noqa: PLC0415 - for typos alone

            close = get_close_matches(typed[1], ["up", *CLIENTS, *API, *TOOLS, *ROLES], n=1)
            meant = f": did you mean {close[0]}?" if close else ""
            self.exit(2, f"flatline: no command is called {typed[1]}{meant} (see flatline --help)\n")
        super().error(message)


def _parser() -> argparse.ArgumentParser:
    from importlib.metadata import version  # noqa: PLC0415 - client commands do without it

    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        prog="flatline",
        description="A heartbeat monitor: a dead man's switch for cron jobs, backups, daemons and device fleets.",
        epilog=EPILOG,
        formatter_class=raw,
    )
    parser.add_argument("--version", action="version", version=f"flatline {version('flatline')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    up = commands.add_parser("up", help="run everything in one process with an embedded server", formatter_class=raw)
    _shared(up, port=8000)
    up.add_argument("--data-dir", metavar="DIR", help="where data and the API key live (./data)")
    for command, text in {**CLIENTS, **API, **{name: text for name, (_, text) in TOOLS.items()}}.items():
        commands.add_parser(command, help=text)
    for (role, text), port in zip(ROLES.items(), (8000, 8002, 8003, 8001), strict=True):
        _shared(commands.add_parser(role, help=text, description=text.capitalize() + "."), port)
    return parser


def _shared(parser: argparse.ArgumentParser, port: int) -> None:
    parser.add_argument("--host", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", help=f"port to listen on ({port}); 0 takes any free one")
    parser.add_argument("--redis-url", metavar="URL", help="redis://, rediss:// or unix:// of the server to use")


def _serve(options: argparse.Namespace) -> int:
    from flatline import roles, target, up  # noqa: PLC0415 - a second of imports that --help does not need
    from runtime import serve  # noqa: PLC0415
    from runtime.errors import StartError  # noqa: PLC0415
    from runtime.settings import check_names, load  # noqa: PLC0415

    flags = {name: value for name, value in vars(options).items() if name != "command"}
    try:
        check_names(os.environ, [up.UpSettings, target.ClientSettings])
        if options.command == "up":
            return serve.run(up.up(load(up.UpSettings, os.environ, **flags)))
        settings = load(roles.ROLES[options.command][0], os.environ, **flags)
    except StartError as error:
        sys.stderr.write(f"flatline: {error}\n")
        return 1
    return serve.run(roles.run(options.command, settings))


if __name__ == "__main__":
    sys.exit(main())
