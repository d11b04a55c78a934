"""The pages say what the code does, and what they have to copy is sound."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path
from typing import Any

import operations_page
import pytest
from opentelemetry.util.re import parse_env_headers
from support.pages import without_settings

import orq_otel
from orq_otel.foundations import settings
from orq_otel.labels.presets import PRESETS, choose
from orq_otel.orq.operations import TABLE

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
EVERY_PAGE = [*ROOT.glob("*.md"), ROOT / "examples/README.md", *sorted(DOCS.rglob("*.md"))]
PAGES = sorted((DOCS / "backends").glob("*.md"))
#: Pages with configurations of collectors, and with variables that go with these.
TEXTS = {
    path: path.read_text(encoding="utf-8")
    for path in [*PAGES, DOCS / "production.md", DOCS / "sampling.md"]
}
TABLE_OF_PRESETS = (DOCS / "backends.md").read_text(encoding="utf-8")

#: Of a collector's configuration, the parts that its pipelines are made of.
COMPONENTS = ("receivers", "processors", "exporters", "connectors", "extensions")
#: Names that only others share a page with.
WITHOUT_PAGE = {"session", "openinference"}
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
EXTRAS = set(
    re.findall(r"^(\w+) = \[", PROJECT.partition("optional-dependencies]")[2], re.MULTILINE)
)
JOBS = run_path(str(ROOT / "run.py"))["JOBS"]
OWN = {settings.Variable.of(one).name for one in fields(settings.Settings)}
#: Of OpenTelemetry's variables, those that may have values of ours.
SAMPLER = {"OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}


def blocks(language: str) -> Iterator[tuple[Path, str]]:
    for path, text in TEXTS.items():
        for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL):
            yield path, block


def variables() -> Iterator[tuple[str, str, str]]:
    """The page, name and value of each variable that is set."""
    for path, block in blocks("console"):
        for name, value in re.findall(r"^\$ export (\w+)=(.*)$", block, re.MULTILINE):
            yield path.stem, name, value.strip('"')


def collectors() -> list[Any]:
    """The configurations of collectors. Other YAML is no collector's, and has no service."""
    loaded = [(path.stem, yaml.safe_load(block)) for path, block in blocks("yaml")]
    return [pytest.param(content, id=page) for page, content in loaded if "service" in content]


def test_the_generated_pages_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, DOCS / "generate.py", "--check"], check=False)
    assert done.returncode == 0, "run: python docs/generate.py"


@pytest.mark.parametrize("is_known", [True, False])
def test_each_operation_of_ours_says_what_it_does(
    monkeypatch: pytest.MonkeyPatch, *, is_known: bool
) -> None:
    if is_known:
        monkeypatch.delitem(operations_page._DOES, "rerank")
    else:
        monkeypatch.setitem(operations_page._DOES, "invent", "makes something up")
    with pytest.raises(SystemExit, match="rerank" if is_known else "invent"):
        operations_page.page()


def test_every_operation_of_orqs_client_is_told() -> None:
    told = (DOCS / "operations.md").read_text(encoding="utf-8")
    for place, methods in TABLE.items():
        for method in methods:
            assert f"| `{place.partition('.')[2]}.{method}` |" in told


def test_every_backend_has_its_page() -> None:
    names = {path.stem for path in PAGES}
    assert PRESETS.keys() - WITHOUT_PAGE <= names
    assert {"orq", "tempo", "jaeger", "elastic", "clickhouse", "datadog"} <= names
    assert set(re.findall(r"\]\(backends/(\w+)\.md\)", TABLE_OF_PRESETS)) == names


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_says_what_to_see(path: Path) -> None:
    assert TEXTS[path].startswith("# ")
    assert "\n**You will see** " in TEXTS[path]
    assert len(TEXTS[path].splitlines()) < 80


def test_a_page_chooses_the_labels_of_its_backend() -> None:
    chosen = {page: value for page, name, value in variables() if name == settings.LABELS}
    added = {
        name
        for name, preset in PRESETS.items()
        if preset.attributes.keys() - {"gen_ai.conversation.id"}
    }
    in_code = {"azure"}  # which has no OTLP, and so no variables
    assert chosen == {name: name for name in added - WITHOUT_PAGE - in_code}
    for page, value in chosen.items():
        assert choose(value.split(",")).attributes, page
    assert 'use_labels("azure")' in TEXTS[DOCS / "backends" / "azure.md"]


def test_variables_are_known_and_their_values_sound() -> None:
    found = list(variables())
    assert found
    for page, name, value in found:
        kind = re.sub(r"_TRACES_(?=ENDPOINT|HEADERS|PROTOCOL)", "_", name)
        if kind == "OTEL_EXPORTER_OTLP_ENDPOINT":
            assert re.match(r"https?://[\w.$-]+(:\d+)?(/[\w.$/-]*)?$", value), (page, value)
            assert kind != name or not value.endswith("/v1/traces"), (page, value)
            assert kind == name or value.endswith(("/v1/traces", "/ai/otel")), (page, value)
        elif kind == "OTEL_EXPORTER_OTLP_HEADERS":
            assert " " not in value, (page, value)
            headers = parse_env_headers(value, liberal=True)
            assert len(headers) == value.count("=") - value.count("sentry_key="), (page, value)
        elif kind == "OTEL_EXPORTER_OTLP_PROTOCOL":
            assert value in ("grpc", "http/protobuf"), (page, value)
        elif name == "OTEL_RESOURCE_ATTRIBUTES":
            assert all(re.match(r"[\w.]+=[\w-]+$", pair) for pair in value.split(",")), page
        else:
            assert name in OWN | SAMPLER, (page, name)


def written_in(language: str) -> list[str]:
    """Every block of a language, on every page."""
    texts = (path.read_text(encoding="utf-8") for path in EVERY_PAGE)
    block = re.compile(rf"```{language}\n(.*?)```", re.DOTALL)
    return [one for text in texts for one in block.findall(text)]


CONSOLE = "\n".join(written_in("console"))
#: What is typed there, a line each.
TYPED = re.findall(r"^\$ (.*)$", CONSOLE.replace("\\\n", ""), re.MULTILINE)
#: Programs of others that readers have, or are told to install.
PROGRAMS = {".", "claude", "curl", "export", "mlflow", "opentelemetry-instrument", "phoenix"}


def test_every_line_that_is_typed_is_one_of_a_shell() -> None:
    assert TYPED
    done = subprocess.run(
        ["bash", "-n"], input="\n".join(TYPED), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "line", sorted({line for line in TYPED if not line.startswith(("AUTH=", "export "))})
)
def test_what_is_typed_is_there(line: str) -> None:
    for command in line.split(" && "):
        words = shlex.split(command, comments=True)
        while words and re.match(r"[A-Z_]+=", words[0]):
            words = words[1:]
        if words[:2] == ["pip", "install"]:
            own = [one for one in words[2:] if one.startswith("orq-otel")]
            extras = {extra for one in own for extra in one[len("orq-otel[") : -1].split(",")}
            assert extras <= EXTRAS
        elif words[:2] == ["python3", "run.py"]:
            assert words[2] in JOBS
            assert words[2] != "example" or (ROOT / "examples" / f"{words[3]}.py").exists()
        elif words[:3] == ["python3", "-m", "venv"]:
            pass
        elif words[:2] == ["python3", "-m"]:
            module = ROOT / "examples" / words[2].replace(".", "/")
            assert module.with_suffix(".py").exists() or (module / "__main__.py").exists()
        elif words:
            assert words[0] in {*PROGRAMS, "orq-otel"}


@pytest.mark.parametrize("block", written_in("yaml"))
def test_every_block_of_yaml_can_be_read(block: str) -> None:
    assert list(yaml.safe_load_all(block))


def test_every_variable_of_ours_is_known() -> None:
    found = set(re.findall(r"\b(ORQ_OTEL_(?!VIEWER_)\w+)=", CONSOLE))
    assert found
    assert found <= OWN


@pytest.mark.skipif(find_spec("genai_prices") is None, reason="genai-prices is not installed")
@pytest.mark.parametrize(
    "command",
    sorted(
        {
            line.partition(" ")[2].partition(" > ")[0]
            for line in TYPED
            # The viewer runs until it is stopped, the doctor runs the program of the reader, and
            # a store in ClickHouse is named by a variable.
            if re.match(r"orq-otel (?!viewer$|clickhouse-rollup$|doctor -- )", line)
        }
    ),
)
def test_a_command_can_be_typed_as_it_stands(command: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "orq-otel", *shlex.split(command, comments=True)],
        env={**without_settings(), "HOME": str(tmp_path), "ORQ_OTEL_VIEWER_DB": f"{tmp_path}/db"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 2, done.stderr  # of wrong usage


def test_there_are_collectors_for_those_that_need_one() -> None:
    pages = {param.id for param in collectors()}
    assert pages == {
        "azure",
        "clickhouse",
        "datadog",
        "elastic",
        "jaeger",
        "production",
        "sampling",
        "tempo",
    }


@pytest.mark.parametrize("collector", collectors())
def test_every_part_of_a_collector_is_defined_and_used(collector: dict[str, Any]) -> None:
    service = collector["service"]
    used: dict[str, set[str]] = {part: set() for part in COMPONENTS}
    used["extensions"] |= set(service.get("extensions", []))
    connectors = set(collector.get("connectors", {}))
    for name, pipeline in service["pipelines"].items():
        assert name.partition("/")[0] in ("traces", "metrics", "logs")
        assert pipeline["receivers"]
        assert pipeline["exporters"]
        assert pipeline.keys() <= set(COMPONENTS)
        for part, names in pipeline.items():
            assert len(names) == len(set(names))
            for component in names:
                used["connectors" if component in connectors else part].add(component)
    assert collector.keys() <= {*COMPONENTS, "service"}
    assert used == {part: set(collector.get(part, {})) for part in COMPONENTS}


@pytest.mark.parametrize("collector", collectors())
def test_a_collector_listens_on_loopback(collector: dict[str, Any]) -> None:
    protocols = collector["receivers"]["otlp"]["protocols"]
    ports = {"grpc": 4317, "http": 4318}
    assert protocols
    assert protocols == {name: {"endpoint": f"localhost:{ports[name]}"} for name in protocols}


def anchors(path: Path) -> set[str]:
    """What links can point to within a page: its headings, as Git hosts and the site name them."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }


@pytest.mark.parametrize("path", EVERY_PAGE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for link, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)(?:#([\w-]+))?\)", text):
        target = path.parent / link if link else path
        assert target.exists(), link
        if target.suffix != ".png":  # of pictures, it says in which theme they are shown
            assert not anchor or anchor in anchors(target), f"{link}#{anchor}"


def test_every_example_of_code_is_run_by_a_test() -> None:
    tests = ROOT / "tests"
    told = "".join(
        path.read_text(encoding="utf-8")
        for path in [*tests.glob("test_*.py"), *tests.glob("*/test_*.py")]
        if path != Path(__file__)
    )
    for path in EVERY_PAGE:
        text = path.read_text(encoding="utf-8")
        if "```python" not in text:
            continue
        if "<!-- program: " in text:  # tests/test_examples.py takes whatever has such a page
            assert text.count("```python") == 1, path
            assert "<!-- arrives: " in text, path
        elif path.is_relative_to(DOCS):
            page = path.relative_to(DOCS).as_posix()
            assert f'"{page}"' in told, page


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    listed = re.findall(r"[- ]([\w/]+\.md)$", navigation, re.MULTILINE)
    assert len(listed) == len(set(listed))
    elsewhere = {"benchmarks.md", "changelog.md", "contributing.md", "security.md"}
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert set(listed) == pages | elsewhere


def test_every_public_name_is_in_the_reference() -> None:
    told = re.findall(r"^::: orq_otel\.(\w+)$", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert sorted([*told, "__version__"]) == sorted(orq_otel.__all__)
