"""docs/ping-api.md against the tables it tells of: what is not on the page does not exist."""

import re
from typing import Final

import orjson

from ingest.dialects import STATES
from ingest.items import FIELDS, ITEMS_MAX, LINE_MAX
from ingest.paths import FORMS, SIGNALS
from store import fleets
from store.fleet_records import FleetSettings
from tests.ingest.conftest import Node
from tests.test_docs import ROOT, first_cells

PAGE: Final = (ROOT / "docs" / "ping-api.md").read_text()


def test_every_form_of_a_url_is_on_the_page_and_no_other() -> None:
    documented = {cell.partition("<")[0] for cell in first_cells("ping-api.md") if "<" in cell and cell[0] == "/"}

    assert documented == {"/" + "".join(f"{word}/" for word in prefix) for prefix, _, _ in FORMS}


def test_every_signal_state_and_field_of_an_item_is_on_the_page() -> None:
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    words = {word.removeprefix("state=") for word in re.findall(r"`([^`]+)`", prose)}

    assert words >= {f"/{signal}" for signal in SIGNALS} | STATES.keys() | FIELDS
    assert f"{ITEMS_MAX:,} items" in PAGE
    assert f"{LINE_MAX:,} bytes" in PAGE


async def test_the_example_of_a_bulk_is_answered_as_the_page_says(node: Node) -> None:
    example, said = re.findall(r"```(?:sh\n.*?<<'END'\n(.*?)END\n|json\n(\{\"acc.*?)```)", PAGE, re.DOTALL)
    fleet = await fleets.create(node.db, FleetSettings(name="greenhouses"))
    body = example[0].replace("k3x9q0vb7m2t5w8y1z4a6c", fleet.ping_key)

    status, answer = await node.ask("/ping/bulk", "POST", data=body.encode())

    assert (status, orjson.loads(answer)) == (200, orjson.loads(said[1]))
