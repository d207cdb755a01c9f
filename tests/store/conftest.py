"""How long hypothesis looks: `quick` in every run, `soak` when HYPOTHESIS_PROFILE=soak asks for it."""

import os

import pytest
from hypothesis import HealthCheck, settings

QUIET = tuple(HealthCheck)  # a step speaks to a server: slow is not sick
settings.register_profile("quick", max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=QUIET)
settings.register_profile(
    "soak", max_examples=4000, stateful_step_count=120, deadline=None, suppress_health_check=QUIET, print_blob=True
)


@pytest.fixture(scope="session")
def effort() -> settings:
    return settings.get_profile("soak" if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else "quick")
