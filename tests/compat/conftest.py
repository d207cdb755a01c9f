"""The node that the clients speak to is the one of the ingest tests."""

from tests.ingest.conftest import new_node, node

__all__ = ["new_node", "node"]
