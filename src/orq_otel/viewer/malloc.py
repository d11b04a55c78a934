"""Configures the C library's memory allocator, if it is glibc's."""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

#: glibc's option for `mallopt`: blocks of this many bytes or more get a mapping of their own.
_MMAP_THRESHOLD: Final = -3
_LARGE: Final = 128 * 1024


def give_back_large_blocks() -> None:
    """Return the memory of large texts to the system as soon as they are freed.

    By default glibc stops doing so after it has freed some large blocks. Then each OS thread that
    has made a large answer keeps that much memory. With other C libraries this does nothing.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE)
