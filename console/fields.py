"""What single values of a request must be: checks whose ValueError continues the sentence "<field> …", with a schema.

They stand in place of pydantic's own, which tell one limit at a time and do not know units.
"""

import re
from base64 import b64decode
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, PlainValidator

from rules import limits

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_MS: Final = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp()) * 1000
RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
DAY: Final = re.compile(r"2[01]\d\d-\d\d-\d\d", re.ASCII)
DIGITS: Final = re.compile(r"[0-9]{1,9}")  # int() would also take 1_000 and other scripts' digits


def whole(least: int, most: int, unit: str = "", *, text: bool = False) -> Any:
    """A whole number; `text`: as a query string has it."""
    days = f" ({most // limits.DAY} days)" if unit == "seconds" and most % limits.DAY == 0 else ""
    between = f"between {least} and {most}" + (f" {unit}" if unit else "") + days

    def check(value: object) -> int:
        if text and isinstance(value, str) and DIGITS.fullmatch(value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"must be a whole number {between}")  # noqa: TRY004 - pydantic collects ValueErrors
        if not least <= value <= most:
            raise ValueError(f"must be {between}, got {value}")
        return value

    return PlainValidator(check, json_schema_input_type=Annotated[int, Field(ge=least, le=most)])


def line(most: int) -> Any:
    """A text on one line. Refused rather than cleaned: what one saves is what one reads."""

    def check(value: object) -> str:
        text = _text(value, 1, most)
        if limits.clean(text) != text:
            raise ValueError("must have no control characters and no spaces at its ends")
        return text

    return PlainValidator(check, json_schema_input_type=Annotated[str, Field(min_length=1, max_length=most)])


def part_of_line(most: int) -> Any:
    """A text to look for; its spaces count."""

    def check(value: object) -> str:
        text = _text(value, 1, most)
        if _has_controls(text):
            raise ValueError("must have no control characters, so no line ends")
        return text

    return PlainValidator(check, json_schema_input_type=Annotated[str, Field(min_length=1, max_length=most)])


def unchecked(most: int) -> Any:
    """A text that another room judges."""

    def check(value: object) -> str:
        return _text(value, 1, most)

    return PlainValidator(check, json_schema_input_type=Annotated[str, Field(min_length=1, max_length=most)])


def prose(most: int) -> Any:
    """A text of many lines, whose ends become plain newlines."""

    def check(value: object) -> str:
        text = _text(value, 0, most).replace("\r\n", "\n")
        if any(_has_controls(part) for part in re.split(r"[\n\t]", text)):
            raise ValueError("must have no control characters but newline and tab")
        return text

    return PlainValidator(check, json_schema_input_type=Annotated[str, Field(max_length=most)])


def pattern(regex: str, must: str) -> Any:
    """A text of a fixed form."""
    form = re.compile(regex)

    def check(value: object) -> str:
        if not isinstance(value, str) or not form.fullmatch(value):
            raise ValueError(must)
        return value

    return PlainValidator(check, json_schema_input_type=Annotated[str, Field(pattern=f"^{regex}$")])


def cursor(form: bytes) -> Any:
    """A position in a list, as the store encodes it; `form`: of the bytes inside."""
    inside = re.compile(form, re.DOTALL)

    def check(value: object) -> str:
        with suppress(ValueError):
            if isinstance(value, str) and inside.fullmatch(b64decode(value, b"-_", validate=True)):
                return value
        raise ValueError("must be the next_cursor of another page of this list")

    return PlainValidator(check, json_schema_input_type=str)


def moment() -> Any:
    """An RFC 3339 time with its zone; becomes ms since the epoch."""

    def check(value: object) -> int:
        if not isinstance(value, str) or not RFC_3339.fullmatch(value.upper()):
            raise ValueError("must be an RFC 3339 time with its zone, as in 2030-01-31T09:00:00Z")
        try:
            time = datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):  # its zone may lead beyond the year 9999
            raise ValueError("must be a day and a time that exist") from None
        return (time - EPOCH) // timedelta(milliseconds=1)

    schema = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    return PlainValidator(check, json_schema_input_type=schema)


def reckonable(moment_ms: int) -> int:
    """For times that calendars are asked about, which end in the year 9999, and that need not lie ahead."""
    if not 0 <= moment_ms < LATEST_MS:
        raise ValueError("must be a time from 1970 to 2199")
    return moment_ms


def day() -> Any:
    """A day of the calendar, from 2000 to 2199: so far ahead nobody plans, and the rest can still be reckoned."""

    def check(value: object) -> str:
        with suppress(ValueError):
            if isinstance(value, str) and DAY.fullmatch(value):
                return date.fromisoformat(value).isoformat()
        raise ValueError("must be a day from 2000 to 2199, as in 2030-01-31")

    return PlainValidator(check, json_schema_input_type=Annotated[str, Field(json_schema_extra={"format": "date"})])


def some(least: int, most: int) -> tuple[Any, Any]:
    """So many entries: the constraint and the schema of a tuple's annotation."""

    def check(values: tuple[Any, ...]) -> tuple[Any, ...]:
        if not least <= len(values) <= most:
            raise ValueError(f"must have {least} to {most} entries, got {len(values)}")
        return values

    return Field(strict=False, json_schema_extra={"minItems": least, "maxItems": most}), AfterValidator(check)


def several(most: int | None = None) -> tuple[Any, Any]:
    """Distinct entries, at most so many: the constraint and the schema of a tuple's annotation."""

    def check(values: tuple[str, ...]) -> tuple[str, ...]:
        if most is not None and len(values) > most:
            raise ValueError(f"must have at most {most} entries, got {len(values)}")
        if len(set(values)) < len(values):
            raise ValueError("must not name the same entry twice")
        return values

    schema: dict[str, Any] = {"uniqueItems": True} if most is None else {"uniqueItems": True, "maxItems": most}
    return Field(strict=False, json_schema_extra=schema), AfterValidator(check)


def _has_controls(text: str) -> bool:
    framed = f"|{text}|"  # so that its spaces are not at the ends
    return limits.clean(framed) != framed


def _text(value: object, least: int, most: int) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004 - pydantic collects ValueErrors
    if not least <= len(value) <= most:
        bounds = f"at most {most}" if least == 0 else f"{least} to {most}"
        raise ValueError(f"must have {bounds} characters, got {len(value)}")
    return value
