"""The table of environment variables in the README, from the settings that they make."""

from __future__ import annotations

from dataclasses import fields

from orq_otel.foundations.settings import Settings, Variable

_BEGIN = "<!-- settings:begin, made by docs/generate.py -->\n"
_END = "<!-- settings:end -->\n"


def with_table(readme: str) -> str:
    """The README with the table of today."""
    before, _, rest = readme.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    rows = ["| variable | values, the default first |", "|---|---|"]
    for setting in fields(Settings):
        variable = Variable.of(setting)
        rows.append(f"| `{variable.name}` | {variable.values} |")
    table = "\n".join(rows)
    return f"{before}{_BEGIN}{table}\n{_END}{after}"
