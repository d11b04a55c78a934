"""Run a program against the stand-ins, and show the threads that it made.

    python3 run.py example user_sessions

or, in the folder `examples` and an environment of your own, `python -m stand_ins user_sessions`.
The program is an ordinary one, and finds the stand-ins by the variables that it would be deployed
with. Its spans are shown as a table at its end, or sent to the collector that the variable
OTEL_EXPORTER_OTLP_ENDPOINT names, for instance the viewer's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from .destinations import collector_variable, spare_loopback_from_proxies
from .model_server import ModelServer
from .orq_api import OrqServer
from .otlp_receiver import OtlpReceiver
from .thread_table import thread_table

EXAMPLES = Path(__file__).parents[1]


def main() -> int:
    """Run the program that the command line names. Returns its exit code."""
    parser = argparse.ArgumentParser("example", description="Run a program against the stand-ins.")
    parser.add_argument("program", help="an example, such as user_sessions, or a file")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what the program gets")
    options = parser.parse_args()
    program = Path(options.program)
    if not program.is_file():
        program = (EXAMPLES / program.name).with_suffix(".py")
    if not program.is_file():
        programs = sorted(path.stem for path in EXAMPLES.glob("*.py"))
        parser.error(f"there is no {program}. These are there: {', '.join(programs)}")

    spare_loopback_from_proxies()
    with ModelServer() as models, OrqServer() as orq, OtlpReceiver() as receiver:
        variables = {
            "OPENAI_API_KEY": "not-a-key",
            "OPENAI_BASE_URL": models.base_url,
            "ORQ_API_KEY": "not-a-key",
            "ORQ_BASE_URL": orq.url,
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
        }
        if collector_variable() is None:
            variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.url
            variables["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf"
        command = [sys.executable, str(program), *options.arguments]
        status = run(command, {**os.environ, **variables})
        if receiver.spans:
            print(f"\nThis arrived over OTLP:\n\n{thread_table(receiver.spans)}")
        return status


def run(command: list[str], environment: dict[str, str]) -> int:
    """Run a command until its end. Ctrl-C reaches it by itself, and it ends in its own time."""
    with subprocess.Popen(command, env=environment) as program:  # noqa: S603 - what the user asks for
        while True:
            with suppress(KeyboardInterrupt):
                return program.wait()


if __name__ == "__main__":
    sys.exit(main())
