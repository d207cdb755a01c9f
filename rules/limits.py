"""How long, how many, how big: the bounds of every field that a stranger or an operator can fill.

Lengths count characters (code points) unless the name says bytes; durations are whole seconds. Both ends are allowed.
"""

import re
from typing import Final

DAY: Final = 86_400  # seconds

NAME_MIN: Final = 1
NAME_MAX: Final = 100  # characters; also slugs, projects, channels, fleets

HEARTBEATS_MAX: Final = 2_000_000  # of a project
SLUG: Final = "[a-z0-9_-]{1,100}"

PERIOD_MIN: Final = 1  # seconds
PERIOD_MAX: Final = 366 * DAY  # seconds: a yearly job, in a leap year too
PERIOD_DEFAULT: Final = DAY
GRACE_MIN: Final = 0
GRACE_MAX: Final = 366 * DAY  # seconds
GRACE_DEFAULT: Final = 3_600
RUNTIME_MIN: Final = 1  # seconds a run may take
RUNTIME_MAX: Final = 366 * DAY
RUNTIME_DEFAULT_MIN: Final = 60  # seconds: the default is the grace, but never less than this
MISSES_MIN: Final = 1
MISSES_MAX: Final = 100
MEMBERS_MIN: Final = 1  # that a fleet may be limited to
MEMBERS_MAX: Final = 10_000_000
MEMBERS_DEFAULT: Final = 1_000_000
SCHEDULE_MAX: Final = 100  # characters of a cron or OnCalendar expression: a parser's work is bounded by its input
TIMEZONE_MAX: Final = 64  # characters; the longest name has 32
PREVIEW_MAX: Final = 20  # slots shown of a schedule
EARLY_MIN: Final = 0
EARLY_MAX: Final = 3_600  # seconds before its slot that a ping may come and count for it
EARLY_DEFAULT: Final = 60
RECOVER_MIN: Final = 1  # good pings that end an incident
RECOVER_MAX: Final = 100
RATE_MIN: Final = 1  # pings a minute of one heartbeat
RATE_MAX: Final = 60_000
WORDS_MAX: Final = 20  # keywords of one kind
WORD_MAX: Final = 100  # characters of a keyword

TAGS_MAX: Final = 20
TAG_MAX: Final = 50  # characters
TEXT_MAX: Final = 2_000  # characters of an alert or recovery text

REMIND_MIN: Final = 60  # seconds between reminders that something is still down
REMIND_MAX: Final = 31 * DAY

PRIORITY_MIN: Final = 0
PRIORITY_MAX: Final = 10  # Gotify's scale
PRIORITY_DEFAULT: Final = 8  # the lowest that phones show as a loud pop-up
PRIORITY_LOUD: Final = 8  # from here on a message may wake people

OUTPUT_MAX_BYTES: Final = 10_000  # tail kept of what a job sent with its ping
NOTE_MAX: Final = 1_000  # characters of a note on an incident
NOTES_MAX: Final = 20  # of one incident: they are read with it

CONTACTS_MAX: Final = 10  # of a person
CONTACT_WAIT_MAX: Final = DAY  # seconds after the person was first told
SHIFT_DAYS_MIN: Final = 1
SHIFT_DAYS_MAX: Final = 366
SHIFT_PEOPLE_MAX: Final = 100  # of an on-call schedule
OVERRIDES_MAX: Final = 100
STEPS_MIN: Final = 1  # of a policy
STEPS_MAX: Final = 20
STEP_WAIT_MAX: Final = 7 * DAY  # seconds after the step before
TARGETS_MAX: Final = 20  # channels, people or schedules of a step
REPEAT_MAX: Final = 9
REPEAT_AFTER_MIN: Final = 60  # seconds after the last step
REPEAT_AFTER_MAX: Final = DAY
REPEAT_AFTER_DEFAULT: Final = 300
COVERED_MAX: Final = 500  # heartbeats and fleets that a maintenance window names

URL_MAX: Final = 2_000  # characters of a channel's URL
TOKEN_MAX: Final = 500  # characters of a foreign token; never judged by its look
EMAIL_MAX: Final = 254  # characters of an address: what fits RFC 5321's path of 256 with its angle brackets
EMAILS_MAX: Final = 20  # addresses of one channel
SECRET_MIN_BYTES: Final = 24  # of a webhook secret, as Standard Webhooks has it
SECRET_MAX_BYTES: Final = 64
CHAT_MAX: Final = 64  # characters of a Telegram chat's number or name
TOPIC_MAX: Final = 64  # characters of an ntfy topic
DEVICE_MAX: Final = 25  # characters of a Pushover device's name
EMERGENCY_MIN: Final = 30  # seconds between the repeats of an emergency, as Pushover takes them
EMERGENCY_MAX: Final = 10_800  # seconds for which it repeats one

# C0, DEL and C1 controls and the two Unicode line ends could start a new header; the bidirectional overrides could
# make a name read as another; lone surrogates cannot be encoded at all. Joiners stay: emoji are made of them.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


def clean(text: str) -> str:
    """The text on one line: each run of control characters becomes one space, the ends are stripped.

    For names and titles, which end up in mail subjects and headers. Cleaning twice changes nothing.
    """
    return _UNSAFE.sub(" ", text).strip()
