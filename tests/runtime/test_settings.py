from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runtime.settings import PREFIX, RoleSettings, SettingsError, check_names, describe, load, setting
from runtime.values import Network


def _upper_only(raw: str) -> str:
    if not raw.isupper():
        raise ValueError(f"must be in capitals: {raw}")
    return raw


@dataclass(frozen=True)
class Sample(RoleSettings):
    sweep_interval_ms: int = setting(200, "Pause between sweeps.", minimum=1, maximum=1000)
    ratio: float = setting(0.5, "A share.", minimum=0)
    resume_on_ping: bool = setting(False, "Whether a ping resumes.")
    allow: tuple[Network, ...] = setting((), "Networks that may be reached.")
    api_key: str = setting("", "The first admin key.", minimum=32, secret=True)
    motto: str = setting("HI", "A word in capitals.", parse=_upper_only)
    password: str = setting("", "A word in capitals.", parse=_upper_only, secret=True)


def _load(**environ: str) -> Sample:
    return load(Sample, {PREFIX + name: value for name, value in environ.items()})


def _complaint(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        _load(**environ)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_an_empty_environment_gives_the_defaults() -> None:
    assert _load() == Sample()
    assert Sample().redis_url == "redis://127.0.0.1:6379/0"


def test_an_empty_value_counts_as_not_given() -> None:
    assert _load(PORT="", REDIS_URL="", REDIS_URL_FILE="") == Sample()


def test_each_type_is_read() -> None:
    settings = _load(SWEEP_INTERVAL_MS="5", RATIO="1.5", RESUME_ON_PING="Yes", ALLOW="10.0.0.0/8, fd00::/8", MOTTO="YO")

    assert (settings.sweep_interval_ms, settings.ratio, settings.resume_on_ping) == (5, 1.5, True)
    assert [str(network) for network in settings.allow] == ["10.0.0.0/8", "fd00::/8"]
    assert settings.motto == "YO"


@pytest.mark.parametrize(
    ("name", "value", "limit"),
    [
        ("PORT", "65536", "a whole number from 0 to 65535, not '65536'"),
        ("PORT", "tcp://10.0.0.1:80", "a whole number from 0 to 65535, not 'tcp://10.0.0.1:80'"),
        ("SWEEP_INTERVAL_MS", "0", "a whole number from 1 to 1000"),
        ("SWEEP_INTERVAL_MS", "1_0", "a whole number from 1 to 1000"),
        ("RATIO", "-1", "a number of at least 0"),
        ("RATIO", "nan", "a number of at least 0"),
        ("RESUME_ON_PING", "perhaps", "true or false"),
        ("ALLOW", "10.0.0.1/8", "networks like 10.0.0.0/8"),
        ("ALLOW", "everywhere", "networks like 10.0.0.0/8"),
        ("LOG_LEVEL", "loud", "debug, info, warning, error"),
        ("LOG_FORMAT", "xml", "auto, json, text"),
        ("MOTTO", "hi\nthere", "must be in capitals"),
        ("API_KEY", "short", "a length of at least 32 characters"),
    ],
)
def test_a_bad_value_names_its_setting_and_the_limit(name: str, value: str, limit: str) -> None:
    message = _complaint(**{name: value})

    assert message.startswith(f"FLATLINE_{name} must be ")
    assert limit in message


@pytest.mark.parametrize(("name", "value"), [("API_KEY", "hunter2"), ("PASSWORD", "hunter2")])
def test_a_bad_secret_is_never_repeated(name: str, value: str) -> None:
    assert value not in _complaint(**{name: value})


def test_a_long_bad_value_is_cut() -> None:
    assert len(_complaint(PORT="x" * 10_000)) < 200


def test_a_secret_does_not_show_in_the_settings_repr() -> None:
    assert "hunter2" not in repr(_load(REDIS_URL="redis://:hunter2@db/0"))


@pytest.mark.parametrize("content", ["redis://db/0", "redis://db/0\n", "redis://db/0\r\n"])
def test_a_secret_may_stand_in_a_file(tmp_path: Path, content: str) -> None:
    file = tmp_path / "url"
    file.write_bytes(content.encode())

    assert _load(REDIS_URL_FILE=str(file)).redis_url == "redis://db/0"


def test_only_one_line_end_is_taken_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("k" * 32 + "\n\n")

    assert _load(API_KEY_FILE=str(file)).api_key == "k" * 32 + "\n"


def test_a_secret_given_twice_is_refused() -> None:
    assert "FLATLINE_REDIS_URL and FLATLINE_REDIS_URL_FILE are both set" in _complaint(
        REDIS_URL="a", REDIS_URL_FILE="b"
    )


def test_a_secret_file_that_cannot_be_read_names_itself(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")

    assert "FLATLINE_REDIS_URL_FILE" in _complaint(REDIS_URL_FILE=str(tmp_path / "absent"))
    assert "not UTF-8" in _complaint(REDIS_URL_FILE=str(binary))


def test_overrides_win_and_none_is_not_given() -> None:
    settings = load(Sample, {"FLATLINE_PORT": "1", "FLATLINE_HOST": "::1"}, port=2, host=None)

    assert (settings.port, settings.host) == (2, "::1")


def test_a_bad_override_names_the_flag_and_the_setting() -> None:
    with pytest.raises(SettingsError, match=r"^--port \(FLATLINE_PORT\) must be"):
        load(Sample, {}, port=70_000)


def test_an_override_that_no_field_has_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError, match="colour"):
        load(Sample, {}, colour="red")


@pytest.mark.parametrize(
    ("environ", "hint"),
    [
        ({"FLATLINE_PROT": "1"}, "did you mean FLATLINE_PORT?"),
        ({"FLATLINE_HOST_FILE": "x"}, "did you mean FLATLINE_HOST?"),  # only secrets may stand in files
        ({"FLATLINE_ZZZZZZ": "1"}, "the documentation lists all"),
        ({"FLATLINE_PORT_80_TCP": "tcp://10.0.0.1:80"}, "enableServiceLinks"),
        ({"FLATLINE_SERVICE_HOST": "10.0.0.1"}, "enableServiceLinks"),
    ],
)
def test_an_unknown_name_is_refused_with_a_hint(environ: dict[str, str], hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_names(environ, [Sample])

    assert str(caught.value).startswith(next(iter(environ)) + " is not a setting")
    assert hint in str(caught.value)


def test_known_and_foreign_names_pass() -> None:
    check_names({"FLATLINE_PORT": "1", "FLATLINE_API_KEY_FILE": "x", "PATH": "/bin"}, [RoleSettings, Sample])


def test_describe_lists_each_setting_once() -> None:
    rows = describe(RoleSettings, Sample)

    names = [row.env for row in rows]
    assert len(names) == len(set(names))
    assert ("FLATLINE_SWEEP_INTERVAL_MS", 200, "Pause between sweeps.") in rows


def test_a_type_without_a_parser_is_a_mistake_of_ours() -> None:
    @dataclass(frozen=True)
    class Odd:
        thing: Any = setting(None, "Odd.")  # noqa: RUF009  it is a field

    with pytest.raises(TypeError, match="need a parse function"):
        load(Odd, {"FLATLINE_THING": "x"})
