"""The control plane: heartbeats, channels and incidents for people and programs. First face: the JSON API."""
