"""Configures the C library's memory allocator, if it is glibc's."""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

#: glibc's options for `mallopt`: blocks of this many bytes or more get a mapping of their own, and
#: so many arenas are there at most.
_MMAP_THRESHOLD: Final = -3
_LARGE: Final = 128 * 1024
_ARENA_MAX: Final = -8
_ARENAS: Final = 1


def keep_little() -> None:
    """Let the allocator keep little of what is freed. Call it before OS threads are started.

    By default glibc stops returning large blocks to the system after it has freed some. Then each
    OS thread that has made a large answer keeps that much memory. It also has an arena for each OS
    thread, and keeps what was freed in each. Threads of Python seldom allocate at the same time.
    With other C libraries this does nothing.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _LARGE)
        mallopt(_ARENA_MAX, _ARENAS)
