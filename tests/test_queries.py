"""Queries that the pages of backends show are understood, and ask for what our spans have.

Grafana's parser reads those for Tempo, Microsoft's those for Application Insights, and Elastic's
grammar those for Elasticsearch. Those for ClickHouse run in its engine, in `tests/viewer`.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from openai import OpenAI
from support.javascript import installed
from support.pages import DOCS, blocks
from support.signals import Signals

from orq_otel import thread, use_labels
from orq_otel.foundations.process import process

#: The columns of `dependencies` in Application Insights that a query may ask for.
#: https://learn.microsoft.com/azure/azure-monitor/reference/tables/appdependencies
DEPENDENCIES = """\
let dependencies = datatable(
    timestamp: datetime, name: string, duration: real, success: bool, resultCode: string,
    operation_Id: string, session_Id: string, cloud_RoleName: string, customDimensions: dynamic)[];
"""


class Read(NamedTuple):
    """What a parser makes of a query."""

    problems: list[str]
    attributes: list[str]


@pytest.fixture(scope="module")
def javascript() -> Path:
    """The parsers of Grafana and Microsoft, installed once."""
    return installed(Path(__file__).with_name("queries"), "queries")


@pytest.fixture
def carried(client: OpenAI) -> Iterator[Any]:
    """Returns the attributes of a call in a thread, with the labels for a backend."""
    signals = Signals().instrument()

    def attributes(*labels: str) -> dict[str, Any]:
        use_labels(labels)
        with thread("support-42", tags=["support"]):
            messages: Any = [{"role": "user", "content": "Where is my parcel?"}]
            client.chat.completions.create(model="gpt-5-mini", messages=messages)
        return dict(signals.spans[-1].attributes or {})

    yield attributes
    use_labels()
    signals.close()
    process.reset()


def read(javascript: Path, language: str, query: str) -> Read:
    """What a parser of npm's says of a query."""
    done = subprocess.run(
        ["node", "parse.mjs", language],
        cwd=javascript,
        input=query,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    return Read(**json.loads(done.stdout))


def test_every_query_has_a_test() -> None:
    tested = {
        ("backends/azure.md", "kusto"),
        ("backends/clickhouse.md", "sql"),
        ("backends/elastic.md", "esql"),
        ("backends/tempo.md", "traceql"),
        ("clickhouse.md", "sql"),
    }
    found = {
        (page.relative_to(DOCS).as_posix(), language)
        for page in DOCS.rglob("*.md")
        for language in re.findall(r"^ *```(\w+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    others = ("console", "javascript", "python", "text", "yaml")
    assert {one for one in found if one[1] not in others} == tested


@pytest.mark.parametrize("query", blocks("backends/tempo.md", "traceql"))
def test_tempo(query: str, javascript: Path, carried: Any) -> None:
    problems, attributes = read(javascript, "traceql", query)
    assert problems == []
    assert attributes
    assert set(attributes) <= carried().keys()


def test_application_insights(javascript: Path, carried: Any) -> None:
    (query,) = blocks("backends/azure.md", "kusto")
    problems, attributes = read(javascript, "kusto", DEPENDENCIES + query)
    assert problems == []
    assert "session_Id" in query  # of which Azure's exporter makes a column
    assert {*attributes, "session.id"} <= carried("azure").keys()


@pytest.mark.parametrize(
    ("language", "query"),
    [
        ("traceql", "{ span.thread.tags = }"),
        ("traceql", '{ span.thread.tags = "support" } | rat()'),
        ("kusto", DEPENDENCIES + "dependencies | where isnotempy(session_Id)"),
        ("kusto", DEPENDENCIES + "dependencies | summarize last = max(timestamp) by session_Id"),
        ("kusto", DEPENDENCIES + "dependencies | where sessionId == ''"),
    ],
)
def test_what_a_vendor_would_not_understand(language: str, query: str, javascript: Path) -> None:
    assert read(javascript, language, query).problems


def problems_of_esql(query: str) -> list[str]:
    """What Elastic's own grammar says of a query."""
    antlr4 = pytest.importorskip("antlr4")
    lexers = pytest.importorskip("esql_parser.EsqlBaseLexer")
    parsers = pytest.importorskip("esql_parser.EsqlBaseParser")
    problems: list[str] = []

    class Listener(antlr4.error.ErrorListener.ErrorListener):
        def syntaxError(self, *details: Any) -> None:  # noqa: N802 - its base has it
            problems.append(str(details[4]))

    lexer = lexers.EsqlBaseLexer(antlr4.InputStream(query))
    parser = parsers.EsqlBaseParser(antlr4.CommonTokenStream(lexer))
    for one in (lexer, parser):
        one.removeErrorListeners()
        one.addErrorListener(Listener())
    parser.singleStatement()
    return problems


def test_elasticsearch(carried: Any) -> None:
    (query,) = blocks("backends/elastic.md", "esql")
    assert problems_of_esql(query) == []
    named = {word.strip("(),") for word in query.split() if "attributes." in word}
    names = {one.partition("attributes.")[2] for one in named}
    assert "gen_ai.conversation.id" in names
    assert names <= carried().keys()


@pytest.mark.parametrize(
    "query",
    ["FROM traces-* | STATS last = MAX(@timestamp)", "FROM traces-* | WHERE a IS NOT | LIMIT 1"],
)
def test_what_elasticsearch_would_not_understand(query: str) -> None:
    assert problems_of_esql(query)
