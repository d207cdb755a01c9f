import re
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from console.api import TABLE
from tests.console.conftest import Api

ROOT = Path(__file__).parents[2]


async def test_the_document_is_valid_and_names_every_route(api: Api) -> None:
    OpenAPIV31SpecValidator(api.document).validate()
    declared = {(method.upper(), path) for path, methods in api.document["paths"].items() for method in methods}

    assert declared == {(row.method, row.path) for row in TABLE}


async def test_the_document_tells_limits_defaults_and_which_key(api: Api) -> None:
    create = api.document["components"]["schemas"]["HeartbeatCreate"]
    patch = api.document["components"]["schemas"]["HeartbeatPatch"]

    assert create["properties"]["period"].items() >= {"minimum": 1, "maximum": 31_622_400, "default": 86_400}.items()
    assert create["properties"]["tags"].items() >= {"maxItems": 20, "uniqueItems": True}.items()
    assert (create["required"], create["additionalProperties"]) == (["name"], False)
    assert ("required" in patch, "default" in patch["properties"]["period"]) == (False, False)
    assert api.document["paths"]["/api/openapi.json"]["get"]["security"] == []
    push = api.document["paths"]["/heartbeat/{heartbeat}/pause"]["post"]["security"]
    assert push == [{"bearer": []}, {"notifly": []}, {"gotify": []}]


@pytest.mark.parametrize(
    "schema",
    [
        "HeartbeatCreate",
        "HeartbeatPut",
        "Heartbeat",
        "Bulk",
        "BulkDone",
        "Failure",
        "Counts",
        "HeartbeatCounts",
        "Event",
        "FleetCreate",
        "Fleet",
        "Member",
        "Incident",
        "Note",
        "NoteAdd",
        "DeafWindow",
        "ChannelCreate",
        "ChannelPut",
        "Channel",
        "Telling",
        "PersonCreate",
        "OnCallCreate",
        "PolicyCreate",
        "WindowCreate",
        "Person",
        "OnCall",
        "OnDuty",
        "Shift",
        "Policy",
        "Window",
        "GivenStep",
        "GivenContact",
        "GivenOverride",
    ],
)
async def test_every_field_is_told_in_the_docs(api: Api, schema: str) -> None:
    told = set(re.findall(r'[`"](\w+)[`"]', (ROOT / "docs" / "api.md").read_text()))

    assert set(api.document["components"]["schemas"][schema]["properties"]) <= told
