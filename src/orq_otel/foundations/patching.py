"""Wrap methods of a module that may not be imported yet, and remove the wrappers again."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import FileLoader
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeAlias

import wrapt

from orq_otel.foundations.codes import MISSING_SEAM
from orq_otel.foundations.guard import is_signals, report, warn_once
from orq_otel.foundations.once import Once, take

#: Gets a method and returns its replacement.
Wrapper: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

#: A wrapper in wrapt's form. It gets the wrapped method, the instance that it is bound to, and the
#: positional and keyword arguments of the call.
Around: TypeAlias = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]


def around(function: Around) -> Wrapper:
    """Make a `Wrapper` from a function in wrapt's form. It is slow: not for hot paths."""
    return lambda original: wrapt.FunctionWrapper(original, function)


class Seam(NamedTuple):
    """A method to wrap, by its name and that of its class. `wrapper` makes the replacement.

    `required` are the versions that must have the method, as in a requirements file: "openai >=
    1.66". If one of them lacks it, a warning is logged. "python" stands for Python itself.
    """

    owner: str
    method: str
    wrapper: Wrapper
    required: str = ""


class Patch:
    """Wrappers around methods of a module's classes, applied once others have imported the module.

    For a package, `submodules` are the patches of its modules. If one of these does not exist, its
    patch can never be applied. When the package is imported, a warning says so.
    """

    def __init__(
        self, module: str, seams: Sequence[Seam] = (), *, submodules: Sequence[Patch] = ()
    ) -> None:
        self.module = module
        self.seams = seams
        self._submodules = submodules
        self._active = False
        self._waiting = False
        self._applied: list[tuple[type, Seam, Any, Any]] = []
        self._turn: Once[None] = [None]  # whose it is applies the wrappers

    def apply(self) -> None:
        """Apply the wrappers, now or as soon as the module is imported.

        Apply them again where the module was imported anew, and has other classes.
        """
        self._active = True
        try:
            # Where another OS thread is importing it, this waits: a part of it is not there yet.
            module = sys.modules.get(self.module) and import_module(self.module)
        except Exception as error:
            if is_signals(error):
                raise
            module = None  # that import failed, and this one was another try
        if module is not None:
            self._on_import(module)
        elif not self._waiting:
            self._waiting = True  # wrapt keeps a hook until the module is imported
            wrapt.register_post_import_hook(self._on_import, self.module)

    @property
    def wrapped(self) -> list[str]:
        """The methods that are wrapped now, such as "OpenAI.request"."""
        return [f"{owner.__name__}.{seam.method}" for owner, seam in self._wrapped_in_module()]

    def _wrapped_in_module(self) -> list[tuple[type, Seam]]:
        """What is wrapped in the module as it is imported now, and not in a former one."""
        module = sys.modules.get(self.module)
        each = [(owner, seam) for owner, seam, _, _ in self._applied]
        return [one for one in each if getattr(module, one[1].owner, None) is one[0]]

    @property
    def is_outdated(self) -> bool:
        """Whether the module was imported anew since, so that nothing of it is wrapped."""
        is_imported = self.module in sys.modules
        return is_imported and bool(self._applied) and not self._wrapped_in_module()

    def _on_import(self, module: Any) -> None:
        self._waiting = False
        try:
            take(self._turn)
        except IndexError:
            return  # another OS thread is at it
        try:
            if self._active and not self._wrapped_in_module():
                self._wrap_all(module)
        except Exception as error:  # noqa: BLE001 - the host's import must not fail
            report(f"looking for modules of {self.module}", error)
        finally:
            self._turn.append(None)

    def _wrap_all(self, module: Any) -> None:
        missing = [(self.module, seam) for seam in self.seams if not self._wrap(module, seam)]
        for patch in self._submodules:
            if not _exists(patch.module, module):
                missing.extend((patch.module, seam) for seam in patch.seams)
        if missing:
            _warn(missing)

    def _wrap(self, module: Any, seam: Seam) -> bool:
        """Apply one wrapper. Returns whether the method exists and could be wrapped."""
        try:
            owner: type | None = getattr(module, seam.owner, None)
            if owner is None or seam.method not in owner.__dict__:
                return False
            original = owner.__dict__[seam.method]
            wrapped = seam.wrapper(original)
            setattr(owner, seam.method, wrapped)
            _unshadow(owner, seam.method, original)
            self._applied.append((owner, seam, original, wrapped))
        except Exception as error:  # noqa: BLE001 - the host's import must not fail
            report(f"instrumenting {self.module}", error)
            return False
        return True

    def remove(self) -> None:
        """Remove the wrappers. One that another tool has wrapped since stays in place."""
        self._active = False
        for owner, seam, original, wrapped in self._applied:
            if owner.__dict__.get(seam.method) is wrapped:
                setattr(owner, seam.method, original)
        self._applied.clear()


def lacks_version(client: str) -> bool:
    """Whether a client is there, and no metadata that says in which version.

    So it is in frozen programs, and where packages were slimmed. Imports nothing.
    """
    try:
        distribution(client)  # its metadata is not read, which takes milliseconds
    except PackageNotFoundError:
        pass
    else:
        return False
    try:
        spec = find_spec(client.replace("-", "_"))
    except Exception:  # noqa: BLE001 - it is blocked, a stand-in, or a finder of others fails
        return False
    # A file or a folder of the user's that has the client's name is no package.
    return spec is not None and None not in (spec.origin, spec.submodule_search_locations)


def _unshadow(owner: type, method: str, original: Any) -> None:
    """Remove the original method from subclasses, so that they inherit the wrapper.

    OpenInference and Logfire, when they are switched off, leave it on subclasses that had inherited
    it.
    """
    subclass: type
    for subclass in owner.__subclasses__():
        if subclass.__dict__.get(method) is original:
            delattr(subclass, method)
        _unshadow(subclass, method, original)


def _exists(name: str, package: Any) -> bool:
    """Whether a module of a package exists, judged by its files, if it has any. Imports nothing."""
    if name in sys.modules or not isinstance(getattr(package, "__loader__", None), FileLoader):
        return True
    # A file of the user's that has the client's name is no package.
    path, prefix = getattr(package, "__path__", ()), package.__name__
    for part in name.removeprefix(f"{prefix}.").split("."):
        prefix = f"{prefix}.{part}"
        spec = PathFinder.find_spec(prefix, path)
        if spec is None:
            return False
        path = spec.submodule_search_locations or ()
    return True


def _warn(missing: Sequence[tuple[str, Seam]]) -> None:
    """Log which methods a client lacks although its version should have them."""
    requirements = {seam.required for _, seam in missing}
    clients = {required: _requiring_client(required) for required in requirements}
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


def _requiring_client(required: str) -> str:
    """The name and version of the installed client, or "" if it need not have the method."""
    if not required:
        return ""
    # Imported here, since most programs lack no method and do not need it.
    from packaging.requirements import Requirement  # noqa: PLC0415
    from packaging.version import InvalidVersion, Version  # noqa: PLC0415

    requirement = Requirement(required)
    name = requirement.name
    try:
        installed = Version(platform.python_version() if name == "python" else version(name) or "")
    except (PackageNotFoundError, InvalidVersion):
        return f"{name} of unknown version"
    is_required = requirement.specifier.contains(installed, prereleases=True)
    return f"{name} {installed}" if is_required else ""
