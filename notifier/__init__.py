"""Decides what each channel must be told, and tells it. Begin with delivery.py."""
