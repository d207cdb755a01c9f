"""What is not documented does not exist: settings, metrics and keys are compared with their pages."""

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

import ingest.metrics
import notifier.metrics
import sweeper.metrics
from flatline.target import ClientSettings
from flatline.up import UpSettings
from runtime.settings import describe
from store.keys import Shard

ROOT = Path(__file__).parents[1]
ROOMS = ("flatline", "ingest", "sweeper", "notifier", "console", "store", "rules", "runtime")


def first_cells(page: str) -> set[str]:
    """The code words in the first column of a page's tables."""
    rows = (line for line in (ROOT / "docs" / page).read_text().splitlines() if line.startswith("| `"))
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


def test_every_setting_is_documented_and_no_other() -> None:
    assert first_cells("settings.md") == {row.env for row in describe(UpSettings, ClientSettings)}


def test_every_metric_is_documented_and_no_other() -> None:
    registry = CollectorRegistry()
    ingest.metrics.Metrics(registry)
    sweeper.metrics.Metrics(registry)
    notifier.metrics.Metrics(registry)
    names = {metric.name + ("_total" if metric.type == "counter" else "") for metric in registry.collect()} | {
        "flatline_build_info"
    }

    assert first_cells("metrics.md") == names


def test_every_key_is_documented() -> None:
    shard = Shard(0)
    fixed = {key.replace("{0}", "{s}") for key in vars(shard).values() if isinstance(key, str) and key != shard.tag}
    made = {
        shard.heartbeat("<id>"), shard.deleted("<id>"), shard.events("<id>"), shard.outputs("<id>"),
        shard.failures("<id>"), shard.incident("<id>"), shard.delivery("<incident>", "<channel>"),
        shard.names("<project>"), shard.status("<project>", "<status>"), shard.tagged("<project>", "<tag>"),
        shard.fleet("<f>"), shard.fleet_deadlines("<f>"), shard.fleet_down("<f>"),
    }  # fmt: skip

    documented = first_cells("data-model.md")

    assert fixed | {key.replace("{0}", "{s}") for key in made} <= documented


def test_every_link_between_pages_leads_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")]
    links = [(page, to) for page in pages for to in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())]

    broken = [f"{page.relative_to(ROOT)}: {to}" for page, to in links if not (page.parent / to).exists()]

    assert broken == []


def test_the_import_rules_cover_every_room() -> None:
    """import-linter's exhaustive option does not cover root packages."""
    rules = (ROOT / "pyproject.toml").read_text()
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}

    assert packages == set(ROOMS)
    assert all(f'"{room}"' in rules for room in ROOMS)


@pytest.mark.parametrize("room", ["ingest", "sweeper"])
def test_the_hot_roles_load_no_package_that_they_do_not_need(room: str) -> None:
    """Only the five of the ping path, uvloop, httptools, hiredis and the schedules: each more is a door."""
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    script = f"import sys, {room}.app; print(' '.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    loaded = set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout.split()
    )

    assert loaded.isdisjoint({"aiohttp", "pydantic", "aiosmtplib", "jinja2", "requests", "structlog"})
