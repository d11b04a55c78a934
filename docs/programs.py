"""Programs of `examples`, shown in pages: each below a mark with its name.

<!-- program: user_sessions.py -->
```python
```
"""

from __future__ import annotations

import json
import re
from pathlib import Path

_EXAMPLES = Path(__file__).parents[1] / "examples"
_PLACE = re.compile(
    r"(?<=<!-- program: )(\S+)( -->\n```python\n).*?(?=^```$)", re.DOTALL | re.MULTILINE
)


def with_programs(page: str) -> str:
    """The page with the programs of today."""
    return _PLACE.sub(lambda place: f"{place[1]}{place[2]}{source(place[1])}", page)


def source(name: str) -> str:
    """The text of a program, or the code of a notebook."""
    text = (_EXAMPLES / name).read_text(encoding="utf-8")
    if not name.endswith(".ipynb"):
        return text
    cells = (cell["source"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "code")
    return "\n\n".join("".join(lines) for lines in cells) + "\n"
