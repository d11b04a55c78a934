"""Server-sent events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    """One event: text as it is, anything else as JSON."""

    data: Any
    name: str | None = None

    def encode(self, *, broken: bool = False) -> bytes:
        """Return the event as it is sent; a broken one has JSON that breaks off."""
        data = self.data if isinstance(self.data, str) else json.dumps(self.data)
        if broken:
            data = data[: len(data) // 2]
        head = f"event: {self.name}\n" if self.name else ""
        return f"{head}data: {data}\n\n".encode()


#: What ends every stream.
DONE = Event("[DONE]")


def chunk(content: bytes) -> bytes:
    """Return content as a chunk of an HTTP body."""
    return b"%x\r\n%b\r\n" % (len(content), content)
