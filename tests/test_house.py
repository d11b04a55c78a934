"""Each public module alone, in a fresh process: what comes with it, and what does not."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import get_type_hints

import pytest

#: What an import must not bring along, by public module.
SDK = "opentelemetry.sdk"
CLIENTS = ("openai", "orq_ai_sdk")
#: `web.returned` alone comes with the face, since handlers need it.
WEB = ("orq_otel.web.asgi", "orq_otel.web.sources", "orq_otel.web.wsgi")
WITHOUT = {
    "orq_otel": ("opentelemetry", "wrapt", *CLIENTS, "orq_otel.genai", "orq_otel.viewer"),
    "orq_otel.threads.scope": ("opentelemetry", "wrapt", *CLIENTS, "orq_otel.labels"),
    "orq_otel.asgi": (SDK, *CLIENTS, "orq_otel.genai", "orq_otel.labels", "orq_otel.viewer"),
    "orq_otel.wsgi": (SDK, *CLIENTS, "orq_otel.genai", "orq_otel.labels", "orq_otel.viewer"),
    "orq_otel.openai": (SDK, *CLIENTS, "orq_otel.orq", "orq_otel.setup", "orq_otel.viewer"),
    "orq_otel.orq": (SDK, *CLIENTS, "orq_otel.openai", "orq_otel.setup", "orq_otel.viewer"),
    "orq_otel.propagation.propagator": (SDK, *CLIENTS, "orq_otel.genai", *WEB),
    "orq_otel.propagation.start": (SDK, *CLIENTS, "orq_otel.genai", *WEB),
    "orq_otel.setup.configuration": (SDK, *CLIENTS, "orq_otel.cli", "orq_otel.viewer"),
    "orq_otel.cli.main": ("opentelemetry", *CLIENTS, "orq_otel.genai", "orq_otel.viewer"),
    "orq_otel.viewer": (*CLIENTS, "orq_otel.genai", "orq_otel.labels"),
}


@pytest.mark.parametrize("module", WITHOUT)
def test_a_public_module_alone(module: str) -> None:
    program = f"import sys, {module}; print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )
    came = done.stdout.split()
    for name in WITHOUT[module]:
        brought = [one for one in came if one == name or one.startswith(f"{name}.")]
        assert not brought, f"import of {module} brings {name}: import that inside of functions"


def test_a_function_and_its_module_do_not_share_a_name() -> None:
    program = """
import types, orq_otel
import orq_otel.labels.attributes, orq_otel.propagation.propagator
import orq_otel.setup.configuration, orq_otel.threads.bind
print([one for one in orq_otel.__all__ if isinstance(getattr(orq_otel, one), types.ModuleType)])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_types_of_public_functions_can_be_asked_for() -> None:
    import orq_otel  # noqa: PLC0415 - the tests above look at what importing it brings

    public = [getattr(orq_otel, name) for name in orq_otel.__all__]
    functions = [one for one in public if inspect.isfunction(one)]
    assert [one.__name__ for one in functions if "return" not in get_type_hints(one)] == []
    assert len(functions) > 10
