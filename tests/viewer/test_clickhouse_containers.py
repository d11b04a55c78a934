"""The containers of `examples/clickhouse`: their form, and that all names, ports and files fit."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from string import Template
from typing import Any

import pytest
from support.pages import EXAMPLES, blocks

from orq_otel.viewer.settings import Settings
from orq_otel.viewer.store.clickhouse_address import Address

yaml = pytest.importorskip("yaml")

FOLDER = EXAMPLES / "clickhouse"
COMPOSE = FOLDER / "compose.yaml"
#: What is chosen by whoever starts them.
CHOSEN = {"CLICKHOUSE_PASSWORD": "a secret", "VIEWER_TOKEN": "a token"}


def read(path: Path) -> Any:
    """A file with what was chosen in it, as Docker Compose and the Collector put it in."""
    text = re.sub(r":\?[^}]*}", "}", path.read_text()).replace("${env:", "${")
    return yaml.safe_load(Template(text).substitute(CHOSEN))


@pytest.fixture
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = read(COMPOSE)["services"]
    return found


@pytest.fixture
def collector() -> dict[str, Any]:
    found: dict[str, Any] = read(FOLDER / "collector.yaml")
    return found


def test_the_file_is_what_compose_reads() -> None:
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, COMPOSE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_whatever_has_to_be_chosen_is_asked_for() -> None:
    asked = set(re.findall(r"\${(\w+):\?choose", COMPOSE.read_text()))
    assert asked == CHOSEN.keys()


def test_files_and_volumes_are_there(services: dict[str, dict[str, Any]]) -> None:
    volumes = read(COMPOSE)["volumes"]
    for one in services.values():
        for volume in one.get("volumes", ()):
            source, target, *mode = volume.split(":")
            if source.startswith("."):
                assert (FOLDER / source).is_file()
                assert mode == ["ro"]
                assert f"--config={target}" in one["command"]
            else:
                assert source in volumes


def test_each_waits_for_what_it_needs(services: dict[str, dict[str, Any]]) -> None:
    for name, one in services.items():
        for other, how in one.get("depends_on", {}).items():
            assert how["condition"] == "service_healthy"
            assert "healthcheck" in services[other]
        assert name == "clickhouse" or "clickhouse" in one["depends_on"]


def test_ports_are_those_of_the_collector_and_the_viewer(
    services: dict[str, dict[str, Any]], collector: dict[str, Any]
) -> None:
    def ports(name: str) -> set[int]:
        found = [one.rsplit(":", 2) for one in services[name]["ports"]]
        # From this machine alone, and by the same number.
        assert all(host == "127.0.0.1" and outer == inner for host, outer, inner in found)
        return {int(inner) for _, _, inner in found}

    protocols = collector["receivers"]["otlp"]["protocols"].values()
    assert ports("collector") == {int(one["endpoint"].rpartition(":")[2]) for one in protocols}
    assert ports("viewer") == {Settings().port}
    assert {name for name, one in services.items() if "ports" in one} == {"collector", "viewer"}


def test_all_use_one_database_as_one_user(
    services: dict[str, dict[str, Any]], collector: dict[str, Any]
) -> None:
    made = services["clickhouse"]["environment"]
    database, user = made["CLICKHOUSE_DB"], made["CLICKHOUSE_USER"]
    exporter = collector["exporters"]["clickhouse"]
    assert exporter["endpoint"] == "tcp://clickhouse:9000"
    assert (exporter["database"], exporter["username"]) == (database, user)
    assert exporter["password"] == made["CLICKHOUSE_PASSWORD"]
    assert services["collector"]["environment"]["CLICKHOUSE_PASSWORD"] == exporter["password"]
    for name in ("sums", "viewer"):
        address = Address.parse(services[name]["environment"]["ORQ_OTEL_VIEWER_STORE"])
        assert address.hosts == (("clickhouse", 8123),)
        assert (address.database, address.user) == (database, user)
        assert address.password == exporter["password"]
        assert (address.table, address.logs) == ("otel_traces", None)
    assert services["viewer"]["environment"]["ORQ_OTEL_VIEWER_TOKEN"] == CHOSEN["VIEWER_TOKEN"]


def test_the_documentation_shows_the_same_collector(collector: dict[str, Any]) -> None:
    (shown,) = blocks("clickhouse.md", "yaml")
    told = yaml.safe_load(Template(shown.replace("${env:", "${")).substitute(CHOSEN))
    told["exporters"]["clickhouse"]["username"] = collector["exporters"]["clickhouse"]["username"]
    assert told == collector


@pytest.mark.parametrize("name", ["sums", "viewer"])
def test_their_commands_are_known(services: dict[str, dict[str, Any]], name: str) -> None:
    installed, _, command = services[name]["command"][-1].partition(" && exec ")
    assert installed == 'pip install "orq-otel[viewer,clickhouse]"'
    program, *words = shlex.split(command)
    assert program == "orq-otel"
    done = subprocess.run(
        [sys.executable, "-m", "orq_otel", *words, "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for option in (one for one in words if one.startswith("--")):
        assert option in done.stdout
