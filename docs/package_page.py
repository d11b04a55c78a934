"""The README as package indexes show it, where links to files of the repository lead nowhere.

Once `[project.urls]` names a home on GitHub as "Source", they lead to that. Until then the files
are named without links, and pictures are left out. Hatch asks for the text when it builds.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

#: A link to a file or, with "!", a picture, and not to another site.
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:)([^)\s]+)\)")


class ReadmeHook(MetadataHookInterface):
    """Makes the long description of the package."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the README."""
        readme = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        home = metadata.get("urls", {}).get("Source")
        metadata["readme"] = {"content-type": "text/markdown", "text": for_indexes(readme, home)}


def for_indexes(readme: str, home: str | None) -> str:
    """The README with links that work anywhere.

    Args:
        readme: Its text.
        home: The repository's address, or None.
    """

    def anywhere(link: re.Match[str]) -> str:
        mark, text, path = link.groups()
        if home is None:
            return "" if mark else text
        return f"{mark}[{text}]({home}/{'raw' if mark else 'blob'}/HEAD/{path})"

    return _LINK.sub(anywhere, readme)
