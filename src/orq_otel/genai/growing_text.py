"""Text that comes in pieces and is joined as it comes.

A list of pieces of one token each takes more than ten times the memory of their text.
"""

from __future__ import annotations

import sys
from io import StringIO


def growing_text() -> StringIO:
    """A buffer for text, which takes little more than four bytes for each character.

    Before Python 3.12, a new `StringIO` keeps what is written to it as a list. One that was made
    with a text has a buffer instead.
    """
    if sys.version_info >= (3, 12):
        return StringIO()
    text = StringIO(" ")
    text.truncate(0)
    return text
