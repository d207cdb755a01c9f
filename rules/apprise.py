"""Which Apprise URLs a channel may have: services whose host stands in the library, so that no setting can aim us."""

import re
from typing import Final
from urllib.parse import parse_qsl

#: By https alone. A service whose host, or a file to read, could stand in the URL has no place here.
SCHEMES: Final = frozenset(
    {
        # pushes
        "ifttt",
        "join",
        "pbul",
        "prowl",
        "psafers",
        "push",
        "pushed",
        "pushplus",
        "pushy",
        "schan",
        "simplepush",
        "spush",
        "wxpusher",
        # on-call services
        "firehydrant",
        "ilert",
        "incidentio",
        "opsgenie",
        "pagertree",
        "signl4",
        "spike",
        "splunk",
        "squadcast",
        "victorops",
        # chats
        "dingtalk",
        "feishu",
        "flock",
        "gchat",
        "groupme",
        "lark",
        "line",
        "twist",
        "webex",
        "wecombot",
        "wxteams",
        "zoom",
        # short messages
        "46elks",
        "bulksms",
        "clickatell",
        "clicksend",
        "d7sms",
        "elks",
        "msgbird",
        "nexmo",
        "plivo",
        "seven",
        "sinch",
        "telnyx",
        "threema",
        "twilio",
        "vonage",
        "whatsapp",
    }
)
#: No other is harmless in every service: some name files, some follow redirects, some leave certificates unchecked.
PARAMETERS: Final = frozenset({"from", "priority", "region", "sound", "to"})


def apprise_url(url: str) -> str:
    """The URL, as it was. Raises ValueError, which never names the URL, for it is full of secrets."""
    scheme, colon, rest = url.partition("://")
    if not colon or scheme not in SCHEMES:
        raise ValueError(f"must begin with one of {', '.join(sorted(SCHEMES))} and ://")
    # Apprise reads URLs in its own way, so only what every parser reads alike may pass.
    if "//" in rest or not re.fullmatch(r"[A-Za-z0-9._~:/@%+,=*\-]+(\?[A-Za-z0-9._~:/@%+,=&\-]*)?", rest):
        raise ValueError("must have other characters than letters, digits and . _ ~ - : / @ + , * percent-encoded")
    _, _, query = rest.partition("?")
    if any(name not in PARAMETERS for name, _ in parse_qsl(query, keep_blank_values=True)):
        raise ValueError(f"must have no parameters but {', '.join(sorted(PARAMETERS))}")
    return url
