"""Which clients are installed, for tests of what an older one lacks or has elsewhere."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

#: Every method of a client, for the version in the first line.
METHOD_LISTS = {
    "openai": Path(__file__).parent / "client_methods" / "openai.txt",
    "orq-ai-sdk": Path(__file__).parent / "client_methods" / "orq.txt",
}


def numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version: (3, 57, 0)."""
    return tuple(int(number) for number in version.split(".") if number.isdecimal())


def installed(client: str) -> tuple[int, ...]:
    """The numbers of the client that is installed, or () if none is."""
    try:
        return numbers(version(client))
    except PackageNotFoundError:
        return ()


def _listed(client: str) -> str:
    with METHOD_LISTS[client].open(encoding="utf-8") as lines:
        return next(lines).split()[-1]


#: The clients that the tests know all of. With these or newer ones no test may be skipped.
NEWEST = {client: _listed(client) for client in METHOD_LISTS}


def needs(client: str, since: str, what: str) -> pytest.MarkDecorator:
    """Skip a test, or one of its parameters, with a client that is too old to have `what`."""
    return pytest.mark.skipif(
        installed(client) < numbers(since),
        reason=f"{client} below {since} lacks {what}",
    )
