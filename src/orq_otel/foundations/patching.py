"""Wrap functions of a module that may not be imported yet, and take the wrappers off again."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Sequence
from importlib.abc import FileLoader
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple, TypeAlias

import wrapt

from orq_otel.foundations.codes import MISSING_SEAM
from orq_otel.foundations.guard import report, warn_once

#: From a method to what takes its place.
Wrapper: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

#: wrapt's form: the wrapped method, the instance it is bound to, and the call's arguments.
Around: TypeAlias = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]


def around(function: Around) -> Wrapper:
    """A wrapper in wrapt's form, for methods that are not called often."""
    return lambda original: wrapt.FunctionWrapper(original, function)


class Seam(NamedTuple):
    """A method to wrap.

    Attributes:
        owner: The name of its class.
        method: Its own name.
        wrapper: What goes around it.
        required: The versions that have to have it, as in a requirements file: "openai >= 1.66".
            Where one of these lacks it, that is said; others may. "python" stands for Python.
    """

    owner: str
    method: str
    wrapper: Wrapper
    required: str = ""


class Patch:
    """Wrappers around methods of a module's classes, put on once the module is imported.

    Args:
        module: The module's name. It is not imported.
        seams: What to wrap.
        within: For a package: the patches of its modules. One whose module is gone is never put on,
            which is said once the package is imported.
    """

    def __init__(
        self, module: str, seams: Sequence[Seam] = (), *, within: Sequence[Patch] = ()
    ) -> None:
        self.module = module
        self.seams = seams
        self._within = within
        self._active = False
        self._hooked = False
        self._applied: list[tuple[type, str, Any, Any]] = []

    def apply(self) -> None:
        """Put the wrappers on, now or as soon as the module is imported."""
        self._active = True
        if not self._hooked:
            self._hooked = True  # wrapt keeps its hooks, so one is enough for every later round
            wrapt.register_post_import_hook(self._on_import, self.module)
        elif self.module in sys.modules:
            self._on_import(sys.modules[self.module])

    def _on_import(self, module: Any) -> None:
        if not self._active or self._applied:
            return
        missing = [(self.module, seam) for seam in self.seams if not self._wrap(module, seam)]
        try:
            for patch in self._within:
                if not _exists(patch.module, module):
                    missing.extend((patch.module, seam) for seam in patch.seams)
            if missing:
                _warn(missing)
        except Exception as error:  # noqa: BLE001 - as below
            report(f"looking through {self.module}", error)

    def _wrap(self, module: Any, seam: Seam) -> bool:
        """Put one wrapper on, if that can be done."""
        try:
            owner: type | None = getattr(module, seam.owner, None)
            if owner is None or seam.method not in owner.__dict__:
                return False
            original = owner.__dict__[seam.method]
            wrapped = seam.wrapper(original)
            setattr(owner, seam.method, wrapped)
            _unshadow(owner, seam.method, original)
            self._applied.append((owner, seam.method, original, wrapped))
        except Exception as error:  # noqa: BLE001 - the host's import must not fail
            report(f"instrumenting {self.module}", error)
            return False
        return True

    def remove(self) -> None:
        """Take the wrappers off. One that somebody else has wrapped since stays, to no effect."""
        self._active = False
        for owner, method, original, wrapped in self._applied:
            if owner.__dict__.get(method) is wrapped:
                setattr(owner, method, original)
        self._applied.clear()


def _unshadow(owner: type, method: str, original: Any) -> None:
    """Let subclasses inherit the wrapper again.

    OpenInference and Logfire, once switched off, leave the original method on a subclass that had
    inherited it.
    """
    subclass: type
    for subclass in owner.__subclasses__():
        if subclass.__dict__.get(method) is original:
            delattr(subclass, method)
        _unshadow(subclass, method, original)


def _exists(name: str, package: Any) -> bool:
    """Whether a module of a package is there, as far as files tell. Imports nothing."""
    if name in sys.modules or not isinstance(package.__loader__, FileLoader):
        return True
    path, at = package.__path__, package.__name__
    for part in name.removeprefix(f"{at}.").split("."):
        at = f"{at}.{part}"
        spec = PathFinder.find_spec(at, path)
        if spec is None:
            return False
        path = spec.submodule_search_locations or ()
    return True


def _warn(missing: Sequence[tuple[str, Seam]]) -> None:
    """Log what a client lacks that its version should have."""
    clients = {one: _requiring(one) for one in {seam.required for _, seam in missing}}
    for client in sorted({*clients.values()} - {""}):
        names = ", ".join(
            f"{module}.{seam.owner}.{seam.method}"
            for module, seam in missing
            if clients[seam.required] == client
        )
        warn_once(
            MISSING_SEAM,
            f"orq-otel cannot wrap {names} of {client}, so it does not see what is called there. "
            f"Upgrade orq-otel, or use another version of {client.partition(' ')[0]} until it has "
            "caught up.",
        )


def _requiring(required: str) -> str:
    """Name and version of what is installed, if it is of the versions that are required."""
    if not required:
        return ""
    # Only for what is missing: most programs do without.
    from packaging.requirements import Requirement  # noqa: PLC0415

    requirement = Requirement(required)
    name = requirement.name
    try:
        installed = platform.python_version() if name == "python" else version(name)
    except PackageNotFoundError:
        return f"{name} of unknown version"
    is_required = requirement.specifier.contains(installed, prereleases=True)
    return f"{name} {installed}" if is_required else ""
