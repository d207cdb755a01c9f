"""Opens the listening sockets, before the application starts: a taken port shows at once, early clients just wait."""

import errno
import os
import socket

from runtime.errors import StartError

UNUSABLE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}  # an address of the name that this machine does not have


def listen(host: str, port: int, backlog: int) -> list[socket.socket]:
    """Listen on every address of `host`; port 0 takes one free port for all. Raises StartError."""
    sockets: list[socket.socket] = []
    try:
        _open(sockets, host, port, backlog)
    except OSError as error:
        for sock in sockets:
            sock.close()
        taken = error.errno == errno.EADDRINUSE
        advice = "stop what listens there or choose another --port" if taken else "check --host and --port"
        # socket.create_server appends the address to strerror; gaierror numbers its errors by itself.
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise StartError(f"cannot listen on {host} port {port}: {reason}: {advice}") from None
    return sockets


def _open(sockets: list[socket.socket], host: str, port: int, backlog: int) -> None:
    problem: OSError | None = None
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, _, _, _, address in found:
        try:
            sock = socket.create_server((str(address[0]), port), family=family, backlog=backlog)
        except OSError as error:
            if error.errno not in UNUSABLE:
                raise
            problem = error
        else:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited; not every event loop sees to it
            sockets.append(sock)
            port = port or sock.getsockname()[1]  # with port 0 the first address draws it for the others
    if problem and not sockets:
        raise problem
