"""Lines to paste, with the heartbeat's own ping URL in them. The guides tell each of them at length."""

from dataclasses import dataclass
from typing import Final

CURL: Final = "curl -fsS -m 10 --retry 5 -o /dev/null"


@dataclass(frozen=True, slots=True)
class Snippet:
    """`note`: what it does, in a sentence."""

    name: str
    title: str
    note: str
    text: str


def snippets(url: str, schedule: str | None) -> tuple[Snippet, ...]:
    """`schedule`: the heartbeat's own, to stand in the crontab if it is one."""
    cron = schedule if schedule and len(schedule.split()) == 5 and "\n" not in schedule else "0 3 * * *"
    return (
        Snippet("cron", "cron", "Tells how the job ended; a failure alarms at once.",
                f"{cron} /usr/local/bin/backup.sh; {CURL} {url}/$?"),
        Snippet("shell", "Shell", "Tells the start, the end and what the job printed.", f"""\
#!/bin/sh
PING_URL={url}
tell() {{ {CURL} "$@" || true; }}

tell "$PING_URL/start"
output=$(/usr/local/bin/backup.sh 2>&1)
status=$?
printf '%s' "$output" | tell --data-binary @- "$PING_URL/$status"
exit "$status"

# or, where a script itself knows that something is wrong:
# tell --data-raw 'disk full' "$PING_URL/fail\""""),
        Snippet("systemd", "systemd", "A timer's service: its start, its exit status, the signal that ended it.", f"""\
[Service]
Type=oneshot
Environment=PING_URL={url}
ExecStartPre=-/usr/bin/{CURL} ${{PING_URL}}/start
ExecStart=/usr/local/bin/backup.sh
ExecStopPost=-/bin/sh -c 'exec /usr/bin/{CURL} "$$PING_URL/$${{EXIT_STATUS:-fail}}"'"""),
        Snippet("python", "Python", "Needs nothing but Python itself.", f"""\
from contextlib import suppress
from urllib.request import urlopen

PING_URL = "{url}"


def tell(signal=""):
    with suppress(OSError):  # a monitor that cannot be reached stops no job
        urlopen(PING_URL + signal, timeout=10).close()


tell("/start")
try:
    backup()
except BaseException:
    tell("/fail")
    raise
tell()"""),
        Snippet("kubernetes", "Kubernetes", "A CronJob whose image has a shell and curl.", f"""\
apiVersion: batch/v1
kind: CronJob
metadata:
  name: backup
spec:
  schedule: "{cron}"
  concurrencyPolicy: Forbid
  jobTemplate:
    spec:
      backoffLimit: 0
      template:
        spec:
          restartPolicy: Never
          containers:
            - name: backup
              image: example.org/backup:1
              env:
                - name: PING_URL
                  value: {url}
              command: ["/bin/sh", "-c"]
              args:
                - |
                  {CURL} "$PING_URL/start"
                  /usr/local/bin/backup.sh; status=$?
                  {CURL} "$PING_URL/$status"
                  exit "$status\""""),
        Snippet("powershell", "PowerShell", "For the Windows task scheduler.", f"""\
$ping = "{url}"
function Tell($signal) {{
  try {{ Invoke-RestMethod -Uri "$ping$signal" -TimeoutSec 10 | Out-Null }} catch {{ Write-Warning $_ }}
}}

Tell "/start"
& C:\\Scripts\\backup.exe
Tell "/$LASTEXITCODE"
exit $LASTEXITCODE"""),
        Snippet("esp32", "ESP32 / Arduino", "Call it from loop() as often as the period says.", f"""\
#include <HTTPClient.h>
#include <WiFi.h>

const char PING_URL[] = "{url}";

void ping() {{
  if (WiFi.status() != WL_CONNECTED) return;
  HTTPClient http;
  http.setTimeout(10000);
  http.begin(PING_URL);
  http.GET();
  http.end();
}}"""),
    )  # fmt: skip
