"""Check files of OTLP/JSON, as a collector's file exporter writes them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from conformance.checker import (
    PROFILES,
    Finding,
    Span,
    check_logs,
    check_metrics,
    check_spans,
    load_logs,
    load_metrics,
    load_spans,
    summarize,
)

_CONTENT: Final = {"on": True, "off": False, None: None}


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the files that the command line names.

    Returns:
        0 if all is well, 1 if something is not, 2 if there was nothing to check.
    """
    options = _parse(arguments)
    profile, allow = options.profile, options.allow
    signals = 0
    spans: list[Span] = []
    found: list[Finding] = []
    for file in options.file:
        for document in _read(file):
            own = load_spans(document)
            signals += len(own) + len(load_metrics(document)) + len(load_logs(document))
            spans += own
            found += check_spans(own, profile, _CONTENT[options.content], allow, False)
            found += check_metrics(document, profile, allow=allow)
            found += check_logs(document, profile, allow)
    if not signals:
        sys.stderr.write("nothing to check\n")
        return 2
    if spans:  # a GenAI span in any of the files will do
        together = check_spans(spans, profile, allow=allow)
        found += [finding for finding in together if finding.code == "no_genai_spans"]
    lines = _report(found, f"{signals} signals, profile {profile}", options)
    sys.stdout.write("\n".join(lines) + "\n")
    failing = {"violation", "warning"} if options.strict else {"violation"}
    return 1 if any(finding.level in failing for finding in found) else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m conformance.checker",
        description="Check OTLP/JSON by the GenAI semantic conventions. Violations make it fail.",
    )
    parser.add_argument(
        "file",
        nargs="+",
        help="spans, metrics or logs in OTLP/JSON, lines of it, or a list of spans; - is stdin",
    )
    parser.add_argument("--profile", default="main", choices=PROFILES)
    parser.add_argument("--content", choices=("on", "off"), help="demand or forbid content")
    parser.add_argument("--strict", action="store_true", help="warnings make it fail too")
    parser.add_argument(
        "--allow", action="append", default=[], metavar="CODE[:KEY]", help="leave a finding out"
    )
    parser.add_argument("--json", action="store_true", help="print all findings as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="print only how many there are")
    return parser.parse_args(arguments)


def _read(file: str) -> list[Any]:
    """The documents in a file: one, a list of them, or one a line."""
    text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    try:
        content = json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return content if isinstance(content, list) else [content]


def _report(found: list[Finding], label: str, options: argparse.Namespace) -> list[str]:
    if options.json:
        return [json.dumps([asdict(finding) for finding in found], indent=1)]
    shown = [] if options.quiet else [str(one) for one in found if one.level != "info"]
    return [*shown, summarize(found, label).splitlines()[0]]


if __name__ == "__main__":
    sys.exit(main())
