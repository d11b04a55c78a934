"""Renders the templates: their filters, what they can call, and the headers of a page.

The text of spans is untrusted: the templates escape it, and `formats.visible` makes control
characters visible.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket
from starlette.responses import HTMLResponse, Response

from orq_otel.viewer import formats, web
from orq_otel.viewer.model.ids import LONG_ID
from orq_otel.viewer.model.queries import SORTS
from orq_otel.viewer.web import finding, plots
from orq_otel.viewer.web.addresses import api_url, export_url, span_key, tag_query, thread_url
from orq_otel.viewer.web.zones import UTC

HERE: Final = Path(__file__).parent

TAGS_SHOWN: Final = 8
"""How many tags of a thread the pages show."""
_TAGS: Final = 12
"""How many tags to filter by the overview shows at first."""
#: At most this many steps of an exchange are shown: a page has to stay small.
_MOST_STEPS: Final = 100
#: What templates of conversations call. The first call imports it.
_OF_CONVERSATIONS: Final = (
    *("as_prose", "as_tree", "documents_of", "ended_early", "explained", "failure", "first_chunk"),
    *("is_step", "is_turn", "media_data", "media_kind", "query_of", "spans_shown"),
)
_SORT_NAMES: Final = {
    "last_active": "Last activity",
    "started": "Start",
    "duration": "Duration",
    "spans": "Spans",
    "tokens": "Tokens",
    "cost": "Cost",
    "errors": "Errors",
}


def rendered(name: str, **values: Any) -> str:
    """Returns a template with its values."""
    return _templates().get_template(name).render(**values)


def page(name: str, status: int = 200, **values: Any) -> Response:
    """Returns the answer with a template and its values, which nobody keeps."""
    return HTMLResponse(
        rendered(name, **values),
        status,
        headers={"Cache-Control": "no-store"},
    )


def problem(status: int, heading: str, text: str, detail: str | None = None) -> Response:
    """Returns a page that explains an error."""
    return page("problem.html", status, heading=heading, text=text, detail=detail, change=None)


class _Compiled(FileSystemBytecodeCache):
    """Keeps compiled templates where Python would keep compiled modules of their folder.

    To compile them takes as long as all imports of the pages. Where nothing can be written, or
    Python is not to write such files, they are compiled at each start.

    Args:
        templates: The folder.
    """

    def __init__(self, templates: Path) -> None:
        folder = Path(cache_from_source(str(templates / "_.py"))).parent
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
        # With other options they would mean another thing: so these are part of the name.
        super().__init__(str(folder), "%s.escaped-trimmed.jinja")

    def load_bytecode(self, bucket: Bucket) -> None:
        """Read a template, if it is there."""
        with suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Write a template."""
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                super().dump_bytecode(bucket)


@functools.cache
def _templates() -> Environment:
    templates = HERE / "templates"
    environment = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        bytecode_cache=_Compiled(templates),
    )
    environment.filters |= {
        name: getattr(formats, name)
        for name in (
            "as_text",
            "visible",
            "shortened",
            "one_line",
            "unfolded",
            "excerpt",
            "plain",
            "timestamp",
            "moment",
            "duration",
            "count",
            "short",
            "cost",
            "rate",
            "size",
            "plural",
        )
    }
    environment.globals |= {
        "thread_url": thread_url,
        "tag_query": tag_query,
        "zone": UTC,
        **{name: functools.partial(_of_conversation, name) for name in _OF_CONVERSATIONS},
        "export_url": export_url,
        "api_url": api_url,
        "long_id": LONG_ID,
        "span_key": span_key,
        "hit_key": lambda hit: f"{hit.trace_id}-{hit.span_id}",
        "position": plots.position,
        "unpriced": plots.unpriced,
        "kind_of": lambda value: type(value).__name__,
        "static": _static,
        "sorts": [(sort, _SORT_NAMES[sort]) for sort in SORTS],
        "most_steps": _MOST_STEPS,
        "most_tags": _TAGS,
        "tags_shown": TAGS_SHOWN,
        "unknown": formats.UNKNOWN,
        "feedback_names": finding.FEEDBACK_NAMES,
    }
    return environment


def _of_conversation(name: str, *values: Any) -> Any:
    return web.conversation_html.FUNCTIONS[name](*values)


@functools.cache
def _static(name: str) -> str:
    """Returns the address of a static file, which changes when the file changes."""
    digest = hashlib.sha256((HERE / "static" / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"
