"""The virtual environments: one per peer, so that no two instrumentors ever meet.

Every environment holds the same `openai` and the same OpenTelemetry SDK, so a difference between
two columns is a difference between two instrumentors. Environments are made on first use under
`benchmarks/.venvs/` and reused for as long as what they should contain stays the same.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent
VENVS = HERE / ".venvs"

OPENAI = "3.54.0"
OPENTELEMETRY = "1.45.2"
ORQ = "4.17.13"

# traceloop-sdk needs opentelemetry-instrumentation-sqlalchemy, which has no release for 1.45.2.
OTHER_OPENTELEMETRY = {"traceloop-sdk": "1.45.1"}

# Environment -> what it holds besides openai and the SDK.
ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "base": ("opentelemetry-processor-baggage==0.66b1",),
    "orq": ("--editable", str(CHECKOUT)),
    "orq-client": (f"orq-ai-sdk=={ORQ}", "--editable", str(CHECKOUT)),
    "genai": ("opentelemetry-instrumentation-genai-openai==1.3b0",),
    # 2.4b0 cannot be imported beside a newer opentelemetry-util-genai, or without httpx.
    "v2": (
        "opentelemetry-instrumentation-openai-v2==2.4b0",
        "opentelemetry-util-genai==1.1b0",
        "httpx",
    ),
    "traceloop": ("opentelemetry-instrumentation-openai==0.62.4",),
    "traceloop-sdk": ("traceloop-sdk==0.62.4", "httpx"),
    "openinference": ("openinference-instrumentation-openai==0.1.66",),
    # 5.3.0 and 5.4.0 ask for certifi 2026.10.19, which no index had when this was pinned.
    "logfire": ("logfire==5.2.0",),
    "langfuse": ("langfuse==5.0.4",),
    "elastic": ("elastic-opentelemetry-instrumentation-openai==1.2.0",),
}

# What receives spans rather than making them. These hold nothing besides.
VIEWERS: dict[str, tuple[str, ...]] = {
    "viewer-orq": ("--editable", f"{CHECKOUT}[viewer]"),
    "viewer-trace-view": ("trace-view==0.1.0",),
    "viewer-agentmesh": ("agentmesh-ai[otlp]==0.5.0",),
    "viewer-phoenix": ("arize-phoenix==20.26.1",),
}

# What serves HTTP, for every peer's interpreter alike: `service.py` puts it last on their paths.
SERVING = "serving"
ALONE: dict[str, tuple[str, ...]] = {
    **VIEWERS,
    SERVING: ("fastapi==0.165.0", "uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0"),
}


class EnvironmentFailedError(Exception):
    """An environment could not be made; the message is what the installer said."""


def versions(environments: Iterable[str]) -> dict[str, str]:
    """Return what is pinned: for all environments alike, and first of all in each of these."""
    pins = {"openai": OPENAI, "opentelemetry-sdk": OPENTELEMETRY}
    for environment in environments:
        name, _, version = ENVIRONMENTS[environment][0].partition("==")
        if version:
            pins[name] = version
    return pins


def python_of(environment: str) -> Path:
    """Return the interpreter of an environment, whether it exists yet or not."""
    return VENVS / environment / "bin" / "python"


def ensure(environment: str) -> None:
    """Make an environment, unless it is there already with exactly these requirements."""
    stamp = VENVS / environment / "requirements.stamp"
    wanted = _fingerprint(environment)
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    print(f"# making environment {environment}", file=sys.stderr, flush=True)
    shutil.rmtree(VENVS / environment, ignore_errors=True)
    for command in _commands(environment):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr or done.stdout).splitlines()
            errors = [line for line in said if line.startswith("ERROR")] or said
            raise EnvironmentFailedError("\n".join(errors)[:600])
    stamp.write_text(wanted)


def _requirements(environment: str) -> list[str]:
    """Return everything that an environment holds, as an installer's arguments."""
    if environment in ALONE:
        return list(ALONE[environment])
    opentelemetry = OTHER_OPENTELEMETRY.get(environment, OPENTELEMETRY)
    return [
        f"openai=={OPENAI}",
        f"opentelemetry-sdk=={opentelemetry}",
        f"opentelemetry-exporter-otlp-proto-common=={opentelemetry}",
        *ENVIRONMENTS[environment],
    ]


def _commands(environment: str) -> list[list[str]]:
    """Return the two commands that make and fill an environment: with uv if present, or pip."""
    directory, python = str(VENVS / environment), str(python_of(environment))
    requirements = _requirements(environment)
    if uv := shutil.which("uv"):
        install = [uv, "pip", "install", "--quiet", "--python", python, "--compile-bytecode"]
        return [
            [uv, "venv", "--quiet", "--python", sys.executable, directory],
            [*install, "--prerelease", "if-necessary-or-explicit", *requirements],
        ]
    return [
        [sys.executable, "-m", "venv", directory],
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
    ]


def _fingerprint(environment: str) -> str:
    """Return what an environment should contain; for the checkout, its dependencies too."""
    lines = [sys.version, *_requirements(environment)]
    if "--editable" in lines:
        project = CHECKOUT / "pyproject.toml"
        content = project.read_bytes() if project.is_file() else b""
        lines.append(hashlib.sha256(content).hexdigest())
    return "\n".join(lines)
