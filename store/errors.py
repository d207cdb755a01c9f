"""What can go wrong with the store. The messages say what to do.

StoreError
├── Unavailable     Redis is away, refuses writes or is out of memory: try again, nothing is lost
├── UnfitServer     this server must not be used: wrong eviction policy, too old
├── NotFound        no such record
└── TooMany         there are as many as there may be
"""


class StoreError(Exception):
    """Base of all errors that this room raises."""


class Unavailable(StoreError):
    """Redis is away or refuses; the command may or may not have been carried out, so repeat it."""


class UnfitServer(StoreError):
    """The server at the other end must not hold deadlines; the message names the setting to change."""


class NotFound(StoreError):
    """No such record."""


class TooMany(StoreError):
    """There are as many as there may be; the text says how many of what."""
