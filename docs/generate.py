"""Write what is made of the code: pages of this folder, and the README's table of settings.

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
import settings_table
import troubleshooting_page

_DOCS = Path(__file__).parent
_README = _DOCS.parent / "README.md"


def main() -> int:
    """Write the pages, or check them. Returns how many are out of date."""
    pages = {
        _DOCS / "backends.md": backends_page.page(),
        _DOCS / "one_id.md": one_id_page.page(),
        _DOCS / "operations.md": operations_page.page(),
        _DOCS / "troubleshooting.md": troubleshooting_page.page(),
        _README: settings_table.with_table(_README.read_text(encoding="utf-8")),
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
