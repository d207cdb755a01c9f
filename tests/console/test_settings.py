import pytest

from console.app import create_app
from console.settings import ConsoleSettings
from runtime.errors import StartError
from runtime.settings import SettingsError, load
from store.database import Database


def test_without_a_public_url_it_is_an_ingest_node_on_this_machine() -> None:
    assert load(ConsoleSettings, {}, port=9000).public_url == "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("https://ping.example.org/", "https://ping.example.org"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://example.org/alive/", "https://example.org/alive"),
    ],
)
def test_a_public_url_loses_its_last_slash(given: str, taken: str) -> None:
    assert load(ConsoleSettings, {"FLATLINE_PUBLIC_URL": given}).public_url == taken


@pytest.mark.parametrize(
    "given",
    [
        "example.org",
        "ftp://x",
        "http://",
        "http://u:p@x",
        "http://x?y",
        "http://x#y",
        "http://a b",
        "http://x:y",
        "http://[",
    ],
)
def test_what_is_no_public_url_stops_the_start(given: str) -> None:
    with pytest.raises(SettingsError, match="FLATLINE_PUBLIC_URL must be an http:// or https:// URL"):
        load(ConsoleSettings, {"FLATLINE_PUBLIC_URL": given})


def test_a_short_key_stops_the_start_and_is_not_repeated() -> None:
    with pytest.raises(SettingsError, match="FLATLINE_API_KEY must be a text with a length of at least 32") as caught:
        load(ConsoleSettings, {"FLATLINE_API_KEY": "hunter2"})

    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(ConsoleSettings(api_key="hunter2"))


async def test_a_console_without_a_key_does_not_start(store: Database) -> None:
    with pytest.raises(StartError, match="FLATLINE_API_KEY is not set"):
        create_app(store, ConsoleSettings())
