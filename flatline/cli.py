"""The command line. Heavy imports wait until a command needs them."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

EPILOG = """\
start here:
  flatline up                          everything on http://127.0.0.1:8000, data in ./data
  flatline up --host 0.0.0.0           reachable from other machines
  flatline up --redis-url redis://...  on a Redis or Valkey of your own

tell it about a job, from a crontab, a script or a unit file:
  flatline run <ping url> -- backup.sh   runs it and tells how it ended and what it printed
  flatline ping <ping url>               one signal

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

ROLES = {
    "ingest": "take pings: stateless, run as many as you like behind a load balancer",
    "sweeper": "find heartbeats whose deadline has passed and open incidents",
    "notifier": "tell channels about incidents, with retries",
    "console": "serve the JSON API",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 = stopped as asked, 1 = could not start or crashed, 2 = wrong usage; of clients, as they say."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    is_client = words[:1] in ([name] for name in CLIENTS)
    try:
        return _tell(words[0], words[1:]) if is_client else _serve(_parser().parse_args(words))
    except KeyboardInterrupt:  # while modules are still being imported
        return 128 + signal.SIGINT if is_client else 0


def _tell(command: str, words: Sequence[str]) -> int:
    """The client commands read their own words: they start often, so they load nothing that only roles need."""
    if command == "ping":
        from flatline import ping  # noqa: PLC0415

        return ping.main(words)
    from flatline import run  # noqa: PLC0415

    return run.main(words)


def _parser() -> argparse.ArgumentParser:
    from importlib.metadata import version  # noqa: PLC0415 - client commands do without it

    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
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
    for command, text in CLIENTS.items():
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
