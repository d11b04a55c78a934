"""The rights of docs/clickhouse.md are enough for each user, in an engine that grants no more.

The engine reads users from a file when it starts, so there is a new one over the same tables for
each user.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from support.clickhouse_server import ClickHouseServer
from support.pages import blocks

from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.store.clickhouse_server import RefusedError

from . import agents, conversations
from .clickhouse_tables import LOGS, TABLE, TIMES, Database

#: What each user of the page may do.
GRANTED: dict[str, list[str]] = {}
for _right, _user in re.findall(
    r"^(GRANT .*) TO (\w+);$", "".join(blocks("clickhouse.md", "sql")), re.MULTILINE
):
    GRANTED.setdefault(_user, []).append(_right)

#: The only user that the engine knows. Its first database is one that every user of a server sees.
USERS = """\
<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users><default>
    <password/><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
    <grants><query>GRANT SHOW DATABASES ON default.*</query>{grants}</grants>
  </default></users>
</clickhouse>
"""
CONFIGURATION = """\
<clickhouse>
  <users_config>{users}</users_config>
  <user_directories><users_xml><path>{users}</path></users_xml></user_directories>
</clickhouse>
"""

As = Callable[[Sequence[str]], AbstractContextManager[Database]]


@pytest.fixture
def acting(tmp_path: Path) -> As:
    """Returns the same database for a user with some rights, for as long as a block takes."""

    @contextmanager
    def acting(rights: Sequence[str]) -> Iterator[Database]:
        users, configuration = tmp_path / "users.xml", tmp_path / "config.xml"
        grants = "".join(f"<query>{right}</query>" for right in rights)
        users.write_text(USERS.format(grants=grants))
        configuration.write_text(CONFIGURATION.format(users=users))
        # The engine takes options as its command does, after the folder.
        with ClickHouseServer(Path(f"{tmp_path}/data?config-file={configuration}")) as server:
            yield Database(server, "otel")

    return acting


def threads(database: Database) -> set[str]:
    """The threads that a viewer shows, after it has summed up what it may."""
    with database.store() as store:
        store.follow()
        return {one.id for one in store.threads(ThreadQuery()).threads}


def test_rights_are_enough(acting: As, caplog: pytest.LogCaptureFixture) -> None:
    reading, *writing = GRANTED["viewer"]
    with acting(GRANTED["collector"]) as database:
        database.server.command("CREATE DATABASE otel")
        for statement in (TABLE, *TIMES, LOGS):
            database.command(statement)
        database.insert(conversations.support())
    with acting([reading]) as database:
        assert threads(database) == {"support-4217"}
    with acting(GRANTED["keeper"]) as database, database.store() as store:
        store.create_rollup()
    with acting(GRANTED["collector"]) as database:
        spans = agents.research()
        database.insert(spans, [agents.judged(spans[0], "helpful", score__value=1.0)])
    with acting([reading]) as database:
        assert threads(database) == {"support-4217"}
    (record,) = caplog.records
    assert "by a viewer whose user may write" in record.message
    caplog.clear()
    with acting([reading, *writing]) as database:
        assert threads(database) == {"support-4217", "research-7"}
    assert caplog.records == []
    with acting(GRANTED["keeper"]) as database, database.store() as store:
        store.drop_rollup()


def test_no_user_has_more_than_it_needs(acting: As) -> None:
    with acting(GRANTED["collector"]) as database:
        database.server.command("CREATE DATABASE otel")
        for statement in (TABLE, *TIMES, LOGS):
            database.command(statement)
    with acting(GRANTED["viewer"]) as database, database.store() as store:
        with pytest.raises(RefusedError, match="lacks the right") as raised:
            store.create_rollup()
        right = "GRANT CREATE TABLE ON otel.otel_traces_orq_activity TO viewer, "
        assert right in str(raised.value)
