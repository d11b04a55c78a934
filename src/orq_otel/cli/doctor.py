"""`orq-otel doctor`: what is wrong with a set-up, and what to do about it."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from argparse import REMAINDER, Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from orq_otel.foundations import codes
from orq_otel.foundations.settings import DOCTOR_FOLDER, meant
from orq_otel.foundations.variables import without_wrong

_ILL, _WRONG_USAGE = 1, 2
#: The statuses of a program that did not fail: it ended, or was asked to, by itself or by a shell.
_ENDED = {0, *(one for by in (signal.SIGINT, signal.SIGTERM) for one in (-by, 128 + by))}

_EPILOG = """\
Without a command it looks at what is installed, at the environment, and at the endpoint. With one,
it runs that program until it ends, or Ctrl-C is pressed, and says what it saw in it:

    orq-otel doctor -- opentelemetry-instrument python app.py

It ends with 0 if all is well, and with 1 if something is wrong. It never shows a secret.
"""


def add_parser(subparsers: Any) -> None:
    """Add the command to those of `orq-otel`."""
    from argparse import RawDescriptionHelpFormatter  # noqa: PLC0415 - argparse is loaded by now

    parser = subparsers.add_parser(
        "doctor",
        help="say what is wrong with a set-up, and what to do",
        description="Say what is installed, configured and reachable, and what to do about it.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--explain", metavar="CODE", help="say what a code means, such as ORQ-T01")
    parser.add_argument("command", nargs=REMAINDER, help="a program to run, after --")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Examine, and print the report."""
    if options.explain is not None:
        return _explain(options.explain, as_json=options.json)
    command = [one for at, one in enumerate(options.command) if (at, one) != (0, "--")]
    with _without_log_lines():  # `--explain` needs none of it
        doctor = without_wrong(lambda: import_module("orq_otel.setup.doctor"))
    if command:
        try:
            report = _of_program(command, as_json=options.json)
        except OSError as error:
            sys.stderr.write(f"orq-otel: {command[0]}: {error.strerror}\n")
            return _WRONG_USAGE
    else:
        with _without_log_lines():
            report = _with_viewer(doctor.without_program())
    return _show(report, as_json=options.json)


def _show(report: Any, *, as_json: bool) -> int:
    print(json.dumps(report.to_dict(), indent=2) if as_json else report)  # noqa: T201
    return 0 if report.is_well else _ILL


def _with_viewer(report: Any) -> Any:
    """Returns a report with what is wrong with the viewer, as far as somebody uses it."""
    from orq_otel.setup.report import Finding, Report  # noqa: PLC0415 - as above
    from orq_otel.viewer import extra  # noqa: PLC0415 - a program needs none of it
    from orq_otel.viewer.settings import unknown_variables, variables  # noqa: PLC0415 - the same

    found = [
        Finding(codes.UNKNOWN_VARIABLE, f"There is no variable {name}.{meant(name, variables())}")
        for name in unknown_variables()
    ]
    missing = extra.missing() if extra.is_wanted() else []
    if missing:
        names = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."
        found.append(Finding(codes.INCOMPLETE_VIEWER, names))
    return Report.of([*report.findings, *found], report.facts)


@contextmanager
def _without_log_lines() -> Iterator[None]:
    """Keep our log lines out of the terminal: what they say is in the report."""
    log = logging.getLogger("orq_otel")
    handler, propagates = logging.NullHandler(), log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.propagate = propagates
        log.removeHandler(handler)


def _explain(code: str, *, as_json: bool) -> int:
    entry = codes.ENTRIES.get(f"ORQ-{code.strip(' []').upper().removeprefix('ORQ-')}")
    if entry is None:
        known = ", ".join(sorted(codes.ENTRIES))
        sys.stderr.write(f"orq-otel: there is no code {code!r}. These are: {known}.\n")
        return _WRONG_USAGE
    text = json.dumps(entry._asdict()) if as_json else "\n".join((*entry[:2], f"-> {entry.cure}"))
    print(text)  # noqa: T201
    return 0


def _of_program(command: Sequence[str], *, as_json: bool) -> Any:
    """Run a program with probes, and report what they found.

    Raises:
        OSError: The program cannot be started.
    """
    with tempfile.TemporaryDirectory(
        prefix="orq-otel-doctor-",
        ignore_cleanup_errors=True,  # a process that outlives the program may still write there
    ) as folder:
        status = _run(command, folder, sys.stderr if as_json else None)
        processes = [
            json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(Path(folder).glob("*.json"), key=lambda path: path.stat().st_mtime)
        ]
    return _merged(processes, status)


def _run(command: Sequence[str], folder: str, output: Any) -> int:
    probes = str(Path(__file__).parents[1] / "setup" / "probe_path")
    path = os.pathsep.join([probes, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, DOCTOR_FOLDER: folder}
    program = subprocess.Popen(command, env=environment, stdout=output)  # noqa: S603 - it is asked for
    before = signal.signal(signal.SIGTERM, lambda *_: program.terminate())
    try:
        while True:
            try:
                return program.wait()
            except KeyboardInterrupt:  # noqa: PERF203 - the program got it, too
                continue
    finally:
        signal.signal(signal.SIGTERM, before)


def _merged(processes: list[dict[str, Any]], status: int) -> Any:
    """One report of all processes of a program, and of the status with which it ended."""
    from orq_otel.setup import environment  # noqa: PLC0415 - as above
    from orq_otel.setup.doctor import logged  # noqa: PLC0415 - the same
    from orq_otel.setup.report import Finding, Report, listed  # noqa: PLC0415 - the same

    ending = f"  the program ended with status {status}"
    if not processes:
        # A set-up that fails under opentelemetry-instrument keeps our probes off, too.
        with _without_log_lines():
            environment.where()
        found = [*environment.findings(needs_distro=False), *logged()]
        found = [one for one in found if one.is_problem]
        missing = (
            "No Python process that has orq-otel was seen in the program. One that PYTHONPATH does "
            "not reach cannot be: with python -I and -E, frozen, in a container or under sudo. "
            "There opentelemetry-instrument does nothing, either. Let the program call "
            "orq_otel.configure(), and print(orq_otel.doctor())."
        )
        return Report.of(
            found or [Finding(codes.NOT_INSTALLED, missing)], [*environment.facts(), ending]
        )
    busy = [one for one in processes if one["calls"] or one["spans"] or one["is_set_up"]]
    is_set_up = any(one["is_set_up"] for one in busy)
    findings: list[Any] = []
    places: dict[str, Counter[str]] = {}
    for one in busy or processes[:1]:
        idle = one["calls"] and not one["is_set_up"] and is_set_up
        hidden = (codes.NO_SETUP,) if idle else ()
        found = [Finding(*finding) for finding in one["findings"]]
        findings.extend(each for each in found if each.code not in hidden)
        if idle:  # even if its clients are instrumented
            places.setdefault(codes.UNCONFIGURED_WORKER, Counter())
        for code, lines in one["places"].items():
            is_told = idle and code == codes.NOT_INSTRUMENTED
            if lines:
                places.setdefault(codes.UNCONFIGURED_WORKER if is_told else code, Counter()).update(
                    lines
                )
    if status < 0 and not all(one["is_over"] for one in busy):
        by = f"The program was ended by signal {-status}."
        findings.append(Finding(codes.LEFT_IN_QUEUE, by, is_problem=False))
    findings.extend(Finding(code, listed(lines)) for code, lines in places.items())
    if status not in _ENDED and not any(one["calls"] or one["spans"] for one in processes):
        findings.append(Finding(codes.FAILED_EARLY, f"It ended with status {status}."))
    groups = Counter(tuple(one["facts"]) for one in busy or processes[:1])
    facts = []
    for group, count in groups.items():
        facts += [f"  in {count} of {len(busy)} processes:"] if len(groups) > 1 else []
        facts += group
    return Report.of(findings, [*environment.facts(), *facts, ending])
