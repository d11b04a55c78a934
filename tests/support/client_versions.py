"""Which clients are installed, and when a test may be skipped.

A skip has to name what is missing, in a form that can be checked, and `is_true` does that:

    openai below 1.66 lacks client.responses    a version that is older than the one that is named
    gevent is not installed                     a distribution, or a module, that is not there
    could not import 'gevent'                   the same, by `pytest.importorskip`
    this machine has no Chromium                what no package brings

So with the newest clients nothing is skipped because of a client: a name that one has lost fails.
"""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest
from packaging.version import Version

#: Every method of a client, for the version in the first line.
METHOD_LISTS = {
    "openai": Path(__file__).parents[1] / "client_methods" / "openai.txt",
    "orq-ai-sdk": Path(__file__).parents[1] / "client_methods" / "orq.txt",
}


def is_below(distribution: str, since: str) -> bool:
    """Whether what is installed is older, or not there at all. "Python" stands for Python."""
    installed = platform.python_version() if distribution == "Python" else _installed(distribution)
    return installed is None or Version(installed) < Version(since)


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _listed(client: str) -> str:
    with METHOD_LISTS[client].open(encoding="utf-8") as lines:
        return next(lines).split()[-1]


#: The clients that the tests know all of.
NEWEST = {client: _listed(client) for client in METHOD_LISTS}


def needs(distribution: str, since: str, what: str) -> pytest.MarkDecorator:
    """Skip a test, or one of its parameters, below the version that brought `what`."""
    return pytest.mark.skipif(
        is_below(distribution, since), reason=_reason(distribution, since, what)
    )


def lacking(distribution: str, what: str, since: str = "") -> NoReturn:
    """Leave a test that finds out on its way that `what` is missing.

    Args:
        distribution: What lacks it.
        what: What is missing.
        since: The version that brought it; by default the newest that the tests know.
    """
    pytest.skip(_reason(distribution, since or NEWEST[distribution], what))


def _reason(distribution: str, since: str, what: str) -> str:
    return f"{distribution} below {since} lacks {what}"


def is_true(reason: str) -> bool:
    """Whether a test may be skipped for a reason."""
    older = re.search(r"(?:^|: )(\S+) below (\S+) lacks ", reason)
    if older:
        name, since = older.groups()
        is_known = Version(since) <= Version(NEWEST.get(name, since))
        return is_known and is_below(name, since)
    absent = re.search(r"(\S+) is not installed|could not import '(\w+)", reason)
    if absent:
        name = absent[1] or absent[2]
        return _installed(name) is None and find_spec(name) is None
    return "this machine " in reason
