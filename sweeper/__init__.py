"""Workers that take passed deadlines and due timers. Begin with worker.py."""
