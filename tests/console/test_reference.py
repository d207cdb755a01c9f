"""The reference page of the API: all that the OpenAPI document has, for anybody, without a script."""

import re
from html import unescape
from typing import Any, Final

import pytest

from console.api import TABLE
from console.reference import must_be, topics
from tests.console.browser import LOOKS, chromium, faults
from tests.console.conftest import PUBLIC_URL, Api

PATH: Final = "/api/docs"


async def page_of(api: Api) -> str:
    answer = await api.get(PATH, key=None)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    return str(answer.body.decode())


async def test_it_shows_every_operation_and_every_object_with_an_anchor(api: Api) -> None:
    text = await page_of(api)
    anchors = re.findall(r'\bid="([^"]+)"', text)
    operations = [each["operationId"] for methods in api.document["paths"].values() for each in methods.values()]

    assert len(anchors) == len(set(anchors))
    assert len(operations) == len(TABLE)
    assert set(operations) | set(api.document["components"]["schemas"]) <= set(anchors)
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(anchors) | {"main"}


async def test_it_tells_who_may_what_is_taken_and_what_is_answered(api: Api) -> None:
    text = await page_of(api)
    put = text.partition('id="put_api_heartbeats_by_slug_slug"')[2].partition("</section>")[0]
    plain = re.sub(r"\s+", " ", unescape(re.sub("<[^>]+>", "", put)))

    assert "PUT /api/heartbeats/by-slug/{slug}" in plain
    assert "Needs the scope write." in plain
    assert "Takes HeartbeatPut or null. Answers 200 Heartbeat or 201 Heartbeat; or 400, 401, 403, 404, 409" in plain
    assert f"curl -H 'Authorization: Bearer …' -X PUT '{PUBLIC_URL}/api/heartbeats/by-slug/{{slug}}' -d '{{}}'" in plain


async def test_fields_tell_their_limits_their_defaults_and_whether_they_must_be(api: Api) -> None:
    found = topics(api.document, PUBLIC_URL)
    shapes = {shape.name: shape for topic in found for shape in topic.shapes}
    fields = {
        field.name: ("".join(piece.text for piece in field.must_be), field.default, field.required)
        for field in shapes["HeartbeatCreate"].fields
    }

    assert fields["name"] == ("text, 1 to 100 characters", None, True)
    assert fields["period"] == ("whole number, 1 to 31,622,400", "86400", False)
    assert fields["tags"] == ("up to 20 of text, 1 to 50 characters", "[]", False)
    assert fields["post_only"] == ("true or false", "false", False)
    assert fields["schedule"] == ("text, 1 to 100 characters or null", None, False)
    assert (shapes["HeartbeatPatch"].like, shapes["HeartbeatPut"].like) == ("HeartbeatCreate", "HeartbeatCreate")
    assert not any(field.required for field in shapes["Heartbeat"].fields)  # what is answered is always there
    (listed,) = [each for topic in found for each in topic.operations if each.id == "get_api_heartbeats"]
    assert {field.name: "".join(piece.text for piece in field.must_be) for field in listed.fields} == {
        "limit": "whole number, 1 to 500",
        "cursor": "text",
        "status": "pending or up or late or down or paused",
        "tag": "text, 1 to 50 characters",
        "prefix": "text, 1 to 100 characters",
    }


async def test_an_object_stands_once_where_it_is_first_used(api: Api) -> None:
    names = [shape.name for topic in topics(api.document, PUBLIC_URL) for shape in topic.shapes]

    assert len(names) == len(set(names))
    assert {*names, "Error", "Problem"} == set(api.document["components"]["schemas"])


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "array", "items": {"type": "string"}}, "list of text"),
        ({"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "boolean"}}, "1 to 3 of true or false"),
        ({"type": "string", "format": "date"}, "day"),
        ({"type": "object", "additionalProperties": True}, "object"),
        ({"anyOf": [{"$ref": "#/components/schemas/Broken"}, {"type": "null"}]}, "Broken or null"),
        ({}, "anything"),
    ],
)
def test_what_a_value_must_be_is_told_in_words(schema: dict[str, Any], words: str) -> None:
    assert "".join(piece.text for piece in must_be(schema)) == words


async def test_it_is_whole_in_every_look_and_has_no_script(api: Api) -> None:
    policy = (await api.get(PATH, key=None)).headers["Content-Security-Policy"]
    assert "default-src 'none'; style-src 'self'" in policy
    assert "script" not in policy
    async with chromium() as browser:
        for width, dark in LOOKS:
            page = await browser.page(width=width, dark=dark)
            await page.open(f"{api.url}{PATH}#HeartbeatCreate")
            assert await page.run("document.scripts.length") == 0
            assert await page.run("document.documentElement.scrollWidth") <= width
            assert await page.run("document.styleSheets[0].cssRules.length") > 0
            assert abs(await page.run("document.querySelector('#HeartbeatCreate').getBoundingClientRect().top")) < 50
            assert [each for each in page.complaints if "favicon" not in each] == []
            assert await faults(page) == []
