"""`backends.md`: what each backend groups by, and links to the pages that say how to send there."""

from __future__ import annotations

from pathlib import Path

from orq_otel.labels.attributes import labels
from orq_otel.labels.presets import ENCODERS, PRESETS, Details, Preset
from orq_otel.threads.frames import Thread

_PAGES = Path(__file__).with_name("backends")

_PAGE = """\
# Your backend

This page is made by `docs/generate.py` from `src/orq_otel/labels/presets.py`.

Spans go to any backend that takes OTLP, and there is nothing to set but where. Every span of a
thread has {labels}.
Most backends group by one of these. Some look for names of their own: say which backend it is, and
spans have those too.

```console
$ export ORQ_OTEL_LABELS=langfuse
```

Several names are separated by commas, and attributes of your own go along, each with what it holds:
`ORQ_OTEL_LABELS=langfuse,app.conversation=id,app.tags=tags_joined`. In code that is
`orq_otel.use_labels(["langfuse", {{"app.conversation": "id", "app.tags": "tags_joined"}}])`, or
`configure(labels=...)`. An attribute holds one of {encoders}:
the id, the tags as an array, joined by commas or as JSON, the user, the metadata, or a mark.
`metadata` makes an attribute for each key, in the place of `*` in the name: `app.*=metadata`. In
code an attribute may also hold what a function makes of a `Thread`.

All ids have the same value. Where another library has written [an id of its own](one_id.md), the
thread's takes its place, and the other is kept beside it.

## By name

Where the middle column is empty, the backend groups by what spans have anyway, and its name changes
nothing. *Source* is the backend's documentation, or its code that reads the attributes.

| name | backend | attributes besides | the backend shows | source |
|---|---|---|---|---|
{presets}

## Users and metadata

Where a thread has a [user or metadata](user_and_metadata.md), its spans have `user.id` and
`thread.metadata.<key>`. These names add what the backend looks for:

| name | the user is in | the metadata is in | source |
|---|---|---|---|
{details}

## Without a name

These need none: whatever they show or search, they do it by the attributes that every span has.

{others}

## What to know of all of them

- **`thread.id` is text.** OpenTelemetry's registry has an integer of that name for the operating
  system's thread, which Java's agent and others set. A store that has made it a number refuses
  text, and the document with it ([Elasticsearch](backends/elastic.md)). `ORQ_OTEL_THREAD_ID=false`
  leaves `thread.id` out; `orq.thread_id` and `gen_ai.conversation.id` say the same.
- **Some backends show only the first id of a trace.** Let a new conversation begin a new trace.
- **Some take HTTP only**, while gRPC is the default of `opentelemetry-instrument`. Their pages set
  `OTEL_EXPORTER_OTLP_PROTOCOL`.
- **Many take traces only**, while `opentelemetry-instrument` sends metrics and logs as well, and
  says so when they are refused. Set `OTEL_METRICS_EXPORTER=none` and `OTEL_LOGS_EXPORTER=none`.
- **Keys in `OTEL_EXPORTER_OTLP_HEADERS`** are percent-encoded: a space is `%20`. Keep them out of
  files that others see.
- **Two backends at once** are two exporters of an
  [OpenTelemetry Collector](https://opentelemetry.io/docs/collector/), with the names of both in
  `ORQ_OTEL_LABELS`.
"""


def page() -> str:
    """The whole page."""
    own = list(reversed(labels(Thread("id", ("tag",)))))
    return _PAGE.format(
        labels=", ".join(f"`{name}`" for name in own[:-1]) + f" and `{own[-1]}`",
        encoders=", ".join(f"`{name}`" for name in ENCODERS),
        presets="\n".join(_row(name, preset, set(own)) for name, preset in PRESETS.items()),
        details="\n".join(
            _details(name, preset.details) for name, preset in PRESETS.items() if preset.details
        ),
        others="\n".join(_others()),
    )


def _row(name: str, preset: Preset, own: set[str]) -> str:
    backend = preset.backend
    if (_PAGES / f"{name}.md").exists():
        backend = f"[{backend}](backends/{name}.md)"
    besides = [
        f"`{attribute}` ({encoder})"
        for attribute, encoder in preset.attributes.items()
        if attribute not in own
    ]
    besides += [
        f"`{attribute}` (true, on the first span of a trace)" for attribute in preset.on_roots
    ]
    link = _link(preset.source)
    return f"| `{name}` | {backend} | {'<br>'.join(besides)} | {preset.shows} | {link} |"


def _details(name: str, details: Details) -> str:
    user, metadata = (
        ", ".join(f"`{one}`" for one, encoder in details.attributes.items() if encoder in encoders)
        for encoders in (("user",), ("metadata", "metadata_json"))
    )
    return f"| `{name}` | {user} | {metadata.replace('*', '<key>')} | {_link(details.source)} |"


def _link(source: str) -> str:
    return f"[{source.split('/')[2].removeprefix('www.')}]({source})"


def _others() -> list[str]:
    """A link to each page of a backend without a preset, by its heading."""
    pages = sorted(path for path in _PAGES.glob("*.md") if path.stem not in PRESETS)
    return [
        f"- [{path.read_text(encoding='utf-8').splitlines()[0].removeprefix('# ')}]"
        f"(backends/{path.name})"
        for path in pages
    ]
