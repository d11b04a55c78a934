"""The extras `viewer` and `mcp`: their modules, and the message if one is not installed."""

from __future__ import annotations

from importlib.util import find_spec

MODULES = (
    "anyio",
    "genai_prices",
    "google.protobuf",
    "google.rpc",
    "grpc",
    "jinja2",
    "markdown_it",
    "markupsafe",
    "opentelemetry.proto",
    "starlette",
    "uvicorn",
)

#: A module that hardly anything but the viewer needs.
_OWN = "genai_prices"
#: How to install the viewer's modules anew.
REPAIR = 'pip install --force-reinstall "orq-otel[viewer]", and start it again.'

#: The module that `orq-otel mcp` needs, of the extra `mcp`.
MCP = "mcp"

_NOT_INSTALLED = (
    "orq-otel: this needs the extra `{extra}`, which is not installed ({missing} is missing):\n"
    '    pip install "orq-otel[{extra}]"\n'
)


def not_installed(missing: str) -> str:
    """Returns what to tell a user where a module is missing."""
    return _NOT_INSTALLED.format(
        extra="mcp" if f"{missing}.".startswith(f"{MCP}.") else "viewer", missing=missing
    )


def check() -> None:
    """Check that all modules of the extra are installed, also those that are imported late.

    Raises:
        ModuleNotFoundError: A module is missing.
    """
    for name in missing():
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def missing() -> list[str]:
    """Returns the modules of the viewer that are not there."""
    return [name for name in MODULES if not _is_there(name)]


def is_wanted() -> bool:
    """Whether the viewer was installed, in whole or in part."""
    return _is_there(_OWN)


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # its package is missing, or blocked
        return False


def has(module: str) -> bool:
    """Whether a module belongs to the extras, or is a parent of such a module."""
    return f"{module}.".startswith(f"{MCP}.") or any(
        f"{name}.".startswith(f"{module}.") or module.startswith(f"{name}.") for name in MODULES
    )
