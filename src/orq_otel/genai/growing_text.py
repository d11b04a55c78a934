"""Text that comes in pieces and is joined as it comes.

A list of pieces of one token each takes more than ten times the memory of their text.
"""

from __future__ import annotations

import sys
from io import StringIO


def growing_text() -> StringIO:
    """A text to write pieces to, which takes no more than four bytes for each character, and some.

    Python before 3.12 keeps what is written to a new one as a list. One that had a text has a
    buffer instead.
    """
    if sys.version_info >= (3, 12):
        return StringIO()
    text = StringIO(" ")
    text.truncate(0)
    return text
