"""docs/cli.md, made from the table and the parsers: `python -m flatline.commands.document > docs/cli.md`."""

import argparse
import sys
from importlib import import_module
from typing import Final

from flatline.cli import TOOLS
from flatline.commands.table import NOUNS, verbs
from flatline.commands.words import parser_of

HEAD: Final = """\
# The command line

`flatline up` and the four roles are in the [README](../README.md), `flatline run` and `flatline ping` in the
[ping API](ping-api.md). These commands look and change, on the same machine or from another one.

They find flatline by `--url` or `FLATLINE_PUBLIC_URL`, else on this machine at `FLATLINE_PORT` (8000), the port of
`flatline up`; and the API key by `--key-file`, `FLATLINE_API_KEY`, the file that `FLATLINE_API_KEY_FILE` names, or
`api-key` in `FLATLINE_DATA_DIR` (`./data`), where `flatline up` keeps it. A key is never an option: everyone on the
host can read those.

```
flatline heartbeat create "Nightly copy" --schedule "0 3 * * *" --grace 1h --tag backup
flatline heartbeat list --status down
flatline heartbeat pause "Nightly copy" --for 2h
flatline heartbeat apply nightly-copy --schedule "0 3 * * *" --grace 1h
flatline heartbeat bulk pause --tag backup --for 2h
flatline channel create ops --kind webhook --setting url=https://hooks.example.org/x
flatline channel create --from channel.json
flatline channel test ops
flatline incident acknowledge 0123456789ab-1800000000000 --by Ada
flatline status --exit-code || echo "something is down"
flatline export backup.ndjson
```

A name may stand for an id where only one has it. `--json` prints the API's own answer, which [api.md](api.md)
describes; else tables are for people and may change. Results go to stdout, all else to stderr; there are no colours off
a terminal or with `NO_COLOR`. What deletes asks first; `--yes` answers, and is needed where nobody can be asked.
`--set FIELD=VALUE` reaches every field of the API. Durations are `90`, `5m`, `1h30m` or `1d`.

| exit status | means |
|---|---|
| 0 | ok |
| 1 | it did not work; `doctor`: something fails |
| 2 | wrong usage, no key, or a value that is refused |
| 3 | not found |
| 4 | not allowed: the key is wrong, or may not do this |
| 5 | `status --exit-code`: something is down |

## To another server

```
flatline export backup.ndjson --redis-url redis://old.example.org
flatline import backup.ndjson --redis-url redis://new.example.org --shards 64
```

An export holds all that is in Redis but sessions: settings with every secret, people, plans, users and API keys,
heartbeats and fleets with their members, tokens and state, logs, incidents and what is still to be told. Keep it as you
keep a password. The server's own key is not in it: copy `data/api-key` to the new server's data directory, or set
`FLATLINE_API_KEY` there, if programs use it. An import wants a server without heartbeats, fleets, channels and users,
with any number of shards. Ids, tokens and keys stay: point the name or the address to the new server, and no client
needs an edit. Nothing alarms for the time between the export and the first pulse of the new server's nodes: that time
is a deaf window.

What happens on the old server while an export is written may be in it or not. To lose nothing, stop its roles first:
senders try again until the new ones are up, and no incident is told by both. The new server's roles may start after the
import or before; those that run forget what they knew. An older flatline refuses the export of a newer one.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for noun in NOUNS:
        parts += [f"## {noun.name}\n"]
        for command in verbs(noun.name):
            parts.append(_section(parser_of(noun, command), f"`flatline {noun.name} {command.verb}`"))
    for name, (module, _) in TOOLS.items():
        tool = import_module(module)
        parser = tool.parser(name) if name in {"export", "import"} else tool.parser()
        parts += [f"## {name}\n", _section(parser, "")]
    return "\n".join(parts)


def _section(parser: argparse.ArgumentParser, name: str) -> str:
    actions = parser._actions  # noqa: SLF001 - argparse has no other way to ask
    words = [str(action.metavar or action.dest).upper() for action in actions if not action.option_strings]
    head = f"{name}{' ' if name and words else ''}{' '.join(f'`{word}`' for word in words)}"
    shared = {"--help", "--url", "--key-file"}
    rows = [
        f"- `{', '.join(action.option_strings)}{_value(action)}`: {action.help}"
        for action in actions
        if action.option_strings and action.option_strings[-1] not in shared
    ]
    title = f"{head}: {parser.description}" if head else str(parser.description)
    return "\n".join([title, "", *rows, *([""] if rows else [])])


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    return f" {action.metavar}" if action.metavar else f" {'|'.join(map(str, action.choices or ()))}"


if __name__ == "__main__":
    sys.stdout.write(page())
