"""Makes `docs/settings.md` of the settings that the environment has."""

from __future__ import annotations

from dataclasses import fields

from orq_otel.foundations.settings import Settings, Variable

_HEAD = """\
# Settings

This page is made by `docs/generate.py` from `src/orq_otel/foundations/settings.py`.

Settings are environment variables. They are read once, by `configure()`, `instrument()` and the
processors. A value that is not valid is logged once, with a code such as `[ORQ-S01]`, and the
default is used. A name that begins with `ORQ_OTEL_` and is not in this table is logged, too. An
argument of [`configure()` or `instrument()`](api.md) overrides the variable.

OpenTelemetry's own variables hold as well: where spans go, which are sampled, and the limits of a
span are [the SDK's][sdk]. The [viewer](viewer.md#options) has variables of its own.

[sdk]: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/

| variable | values, the default first |
|---|---|
"""


def page() -> str:
    """The text of the page."""
    variables = map(Variable.of, fields(Settings))
    return _HEAD + "".join(f"| `{one.name}` | {one.values} |\n" for one in variables)
