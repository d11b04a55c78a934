"""What a span says, whoever sent it: one module for each convention that senders follow.

Each dialect is a row of the table in `table.py`: the marks by which its spans are known, the names
of its attributes, and pure functions for what stands inside of JSON. All of them answer with the
same facts, and with messages in the form of the GenAI conventions.

The table is imported when it is asked for: whoever reads a store needs no dialect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orq_otel.viewer.later import later

if TYPE_CHECKING:
    from orq_otel.viewer.dialects import dialect, logged, table

__all__ = ["dialect", "logged", "table"]

__getattr__ = later(__name__, __all__)
