"""Ports: a free one for what nobody needs to remember, a clear word when a promised one is taken."""

import random
import socket

# Below the range that systems hand to outgoing connections, so that nothing takes the port between choice and use.
LOWEST, HIGHEST = 20_000, 31_999


def is_free(port: int, *, host: str = "127.0.0.1") -> bool:
    with socket.socket() as listener:
        # As servers do: a port whose last connections are still dying down is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True


def free_port(*, avoid: frozenset[int] = frozenset()) -> int:
    for port in random.sample(range(LOWEST, HIGHEST + 1), k=200):
        if port not in avoid and is_free(port):
            return port
    raise OSError(f"no free port between {LOWEST} and {HIGHEST}")


def answers(port: int, *, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False
