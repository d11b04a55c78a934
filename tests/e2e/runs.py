"""Run an application as a process of its own, and see what its collector received."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import sysconfig
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from stand_ins.model_server import ModelServer, Reply

from .rotel_collector import Rotel
from .tap import Tap
from .unzipping import unzipping

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .telemetry import Log, Metric, Span

ANSWER = "It has shipped today."

_APPS = Path(__file__).with_name("apps")
_TIMEOUT = 60.0


@dataclass(frozen=True)
class Route:
    """How telemetry gets from the application to the receiver: the protocol, and who is between."""

    protocol: str
    through_rotel: bool

    def __str__(self) -> str:
        """Name it in a test's id."""
        return f"{self.protocol.split('/')[0]}-to-{'rotel' if self.through_rotel else 'oteltap'}"


TAP = Route("http/protobuf", through_rotel=False)
ROTEL_HTTP = Route("http/protobuf", through_rotel=True)
ROTEL_GRPC = Route("grpc", through_rotel=True)
ROUTES = (TAP, ROTEL_HTTP, ROTEL_GRPC)


@dataclass(frozen=True)
class Run:
    """A process that has ended, and what came of it.

    Attributes:
        model_calls: How many requests the model server got.
        rotel_output: What rotel printed, if it was on the route.
    """

    exit_code: int
    stdout: str
    stderr: str
    model_calls: int
    spans: list[Span]
    logs: list[Log]
    metrics: list[Metric]
    rotel_output: str = field(repr=False)


def instrumented(app: str) -> list[str]:
    """The command that runs an application under `opentelemetry-instrument`."""
    return [str(Path(sysconfig.get_path("scripts")) / "opentelemetry-instrument"), *plain(app)]


def plain(app: str, *arguments: str) -> list[str]:
    """The command that runs an application as it is."""
    return [sys.executable, str(_APPS / app), *arguments]


def run(
    command: list[str],
    route: Route,
    directory: Path,
    environment: Mapping[str, str | None] | None = None,
) -> Run:
    """Run a command to its end, with nothing but environment variables for a set-up.

    Args:
        command: What to run. In its words, "{http/protobuf}" and "{grpc}" become endpoints of the
            collector.
        route: Where the variables tell the application to export to.
        directory: An empty directory to run in.
        environment: Further variables. None takes one away.
    """
    return asyncio.run(_run(command, route, directory, environment or {}))


async def _run(
    command: list[str], route: Route, directory: Path, environment: Mapping[str, str | None]
) -> Run:
    async with Tap() as tap:
        with ExitStack() as stack:
            server = stack.enter_context(ModelServer())
            server.script(*[Reply(text=ANSWER)] * 100)
            endpoints = {"http/protobuf": tap.url}
            rotel = None
            if route.through_rotel:
                rotel = stack.enter_context(
                    Rotel(directory, stack.enter_context(unzipping(tap.url)))
                )
                endpoints = {key: f"http://127.0.0.1:{port}" for key, port in rotel.ports.items()}
            variables = {
                **without_others(),
                **_variables(server.base_url, endpoints[route.protocol], route.protocol),
                **environment,
            }
            done = await asyncio.to_thread(
                subprocess.run,
                [_with_endpoints(word, endpoints) for word in command],
                cwd=directory,
                env={key: value for key, value in variables.items() if value is not None},
                capture_output=True,
                encoding="utf-8",
                timeout=_TIMEOUT,
                check=False,
            )
        spans, logs, metrics = await tap.everything()
    output = "" if rotel is None else rotel.output
    return Run(
        done.returncode,
        done.stdout,
        done.stderr,
        len(server.requests),
        spans,
        logs,
        metrics,
        output,
    )


def _with_endpoints(word: str, endpoints: dict[str, str]) -> str:
    for protocol, endpoint in endpoints.items():
        word = word.replace("{" + protocol + "}", endpoint)
    return word


def without_others() -> dict[str, str]:
    """The environment of the tests, without what would change the outcome."""
    unwanted = ("OTEL_", "OPENAI_", "ORQ_")
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.upper().startswith(unwanted) and not key.upper().endswith("_PROXY")
    }
    # Other instrumentations that happen to be installed would add spans of their own.
    others = {
        point.name
        for point in entry_points(group="opentelemetry_instrumentor")
        if point.dist is None or point.dist.name != "orq-otel"
    }
    if others:
        kept["OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"] = ",".join(sorted(others))
    return kept


def _variables(base_url: str, endpoint: str, protocol: str) -> dict[str, str]:
    return {
        "OPENAI_API_KEY": "sk-test-key",
        "OPENAI_BASE_URL": base_url,
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_SERVICE_NAME": "shop",
        "PYTHONUTF8": "1",
    }
