"""Run a program where there is no network but loopback, on machines that allow it.

    python tests/backends/alone.py -m pytest tests/backends

Some backends listen on all interfaces, whatever they are told. In a network namespace of its own
(Linux, `unshare` of util-linux) nobody else can reach them. Where there is none, the program runs
as it would, and tests of such backends are skipped.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys

_NAMESPACE = ["unshare", "--map-root-user", "--net"]
_SIOCSIFFLAGS = 0x8914
_UP_AND_RUNNING = 0x1 | 0x40


def is_alone() -> bool:
    """Whether this process sees no interface but loopback."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


def _is_possible() -> bool:
    try:
        done = subprocess.run([*_NAMESPACE, "true"], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def _raise_loopback() -> None:
    """A new namespace has the interface, but switched off."""
    import fcntl  # noqa: PLC0415 - Linux only, as is this function

    with socket.socket() as any_socket:
        request = struct.pack("16sH14x", b"lo", _UP_AND_RUNNING)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)


def main() -> None:
    """Become the program that the command line names."""
    command = [sys.executable, *sys.argv[1:]]
    if is_alone():
        _raise_loopback()
    elif _is_possible():
        command = [*_NAMESPACE, sys.executable, __file__, *sys.argv[1:]]
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
