"""Write the pages of this folder that are made of the code, and the programs in others.

    python docs/generate.py            # write them
    python docs/generate.py --check    # only say whether they are up to date

Each has a module here, which makes its text.
"""

from __future__ import annotations

import sys
from pathlib import Path

import backends_page
import one_id_page
import operations_page
import programs
import settings_page
import troubleshooting_page

_DOCS = Path(__file__).parent


def main() -> int:
    """Write the pages, or check them. Returns how many are out of date."""
    pages = {
        _DOCS / "backends.md": backends_page.page(),
        _DOCS / "one_id.md": one_id_page.page(),
        _DOCS / "operations.md": operations_page.page(),
        _DOCS / "settings.md": settings_page.page(),
        _DOCS / "troubleshooting.md": troubleshooting_page.page(),
        **{
            path: programs.with_programs(path.read_text(encoding="utf-8"))
            for path in _DOCS.glob("cookbook/*.md")
        },
    }
    outdated = 0
    for path, text in pages.items():
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            outdated += 1
    return outdated


if __name__ == "__main__":
    sys.exit(main())
