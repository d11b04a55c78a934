"""How the C library hands memory out, where it can be told."""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

#: Of `mallopt` in glibc: from how many bytes on a block is mapped on its own.
_MMAP_THRESHOLD: Final = -3
_LARGE: Final = 128 * 1024


def give_back_large_blocks() -> None:
    """Have memory of large texts go back to the system as soon as nothing refers to it.

    glibc begins so, and stops doing it once it has seen large blocks come and go: then each thread
    that has made a large answer keeps as much for itself. Other libraries are left as they are.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE)
