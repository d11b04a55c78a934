"""Makes `docs/troubleshooting.md` of the table of codes."""

from __future__ import annotations

from orq_otel.foundations.codes import ENTRIES, SYMPTOMS

_HEAD = """\
# Troubleshooting

<!-- made by docs/generate.py -->

| what you notice | what it mostly is | what to do |
|---|---|---|
| calls of one conversation are not together | they have different ids | use one id for all calls of a session or workflow: [Ids and tags](cookbook/naming.md) |
| two conversations are shown as one | they share an id | make ids unique, with a UUID or what your database has: `new_thread_id("support")` |
| a span has no thread, or no tags | it began outside of the block, or in another OS thread | [A span has no thread, or no tags](missing_labels.md) |
| nothing arrives | the endpoint, its port or its key is wrong | the doctor |

For all of these there is the doctor. It says in plain words what is installed, patched, configured
and reachable, and what to do:

```console
$ orq-otel doctor                                           # packages, variables, the endpoint
$ orq-otel doctor -- opentelemetry-instrument python app.py # the same, and what the program does
```

It runs the program for as long as you like, notes what its calls and spans look like, and reports
at its end. It ends with 0 if all is well, and with 1 if something is wrong; `--json` is for
programs. In code, `print(orq_otel.doctor())` examines the process that it is called in. No secret
is ever shown.

Each finding has a code, and so has each line that orq-otel logs, at its end: `[ORQ-T01]`. Below
they stand by what you notice, and `orq-otel doctor --explain ORQ-T01` says the same.
"""  # noqa: E501 - rows of a table


def page() -> str:
    """The text of the page."""
    sections = [_HEAD]
    for symptom in SYMPTOMS:
        sections.append(f"## {symptom}\n")
        sections += [
            f"### {code}\n\n{entry.meaning}\n\n{entry.cure}\n"
            for code, entry in ENTRIES.items()
            if entry.symptom == symptom
        ]
    return "\n".join(sections)
