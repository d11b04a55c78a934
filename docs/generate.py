"""Write the pages that are read off the code: `operations.md` and `backends.md`.

    python docs/generate.py            # write them
    python docs/generate.py --check    # only say whether they are up to date

Each has a module here, which makes its text.
"""

from __future__ import annotations

import sys
from pathlib import Path

import backends_page
import operations_page

_PAGES = {"backends.md": backends_page.page, "operations.md": operations_page.page}


def main() -> int:
    """Write the pages, or check them."""
    outdated = []
    for name, page in _PAGES.items():
        path, told = Path(__file__).with_name(name), page()
        if "--check" not in sys.argv:
            path.write_text(told, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != told:
            outdated.append(name)
    return len(outdated)


if __name__ == "__main__":
    sys.exit(main())
