"""The metrics of one process, in a registry of its own: the library's global one would be shared by all tests."""

from importlib.metadata import version

from prometheus_client import CollectorRegistry, GCCollector, Info, PlatformCollector, ProcessCollector


def new_registry() -> CollectorRegistry:
    """Make a registry that already tells of the process, the garbage collector, the platform and our version."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    Info("flatline_build", "The running version of flatline.", registry=registry).info({"version": version("flatline")})
    return registry
