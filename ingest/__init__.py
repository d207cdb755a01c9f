"""Stateless ping nodes. Begin with ping.py."""
