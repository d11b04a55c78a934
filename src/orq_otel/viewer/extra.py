"""The extra `viewer`: its modules, and the message if it is not installed."""

from __future__ import annotations

from importlib.util import find_spec

MODULES = (
    "genai_prices",
    "google.protobuf",
    "google.rpc",
    "grpc",
    "jinja2",
    "markdown_it",
    "opentelemetry.proto",
    "starlette",
    "uvicorn",
)

NOT_INSTALLED = (
    "orq-otel: this needs the extra `viewer`, which is not installed ({missing} is missing):\n"
    '    pip install "orq-otel[viewer]"\n'
)


def check() -> None:
    """Check that all modules of the extra are installed, also those that are imported late.

    Raises:
        ModuleNotFoundError: A module is missing.
    """
    for name in MODULES:
        if find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def has(module: str) -> bool:
    """Whether a module belongs to the extra, or is a parent of such a module."""
    return any(
        f"{name}.".startswith(f"{module}.") or module.startswith(f"{name}.") for name in MODULES
    )
