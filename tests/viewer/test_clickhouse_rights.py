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

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import KINDS, ThreadQuery
from orq_otel.viewer.model.store import StoreError
from orq_otel.viewer.store.clickhouse_server import RefusedError
from orq_otel.viewer.store.sqlite import SQLiteStore

from . import agents, conversations
from .clickhouse_tables import LOGS, TABLE, TIMES, Database
from .sample_spans import MINUTE, NOON, call

#: What each user of the page may do.
GRANTED: dict[str, list[str]] = {}
for _right, _user in re.findall(
    r"^(GRANT .*) TO (\w+);$", "".join(blocks("clickhouse.md", "sql")), re.MULTILINE
):
    GRANTED.setdefault(_user, []).append(_right)

#: The only user that the engine knows. Its first database is one that every user of a server sees.
USERS = """\
<clickhouse>
  <profiles><default>{profile}</default></profiles>
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

As = Callable[..., AbstractContextManager[Database]]

#: What others set for their own queries, and who may read little.
PROFILE: dict[str, object] = {
    "additional_table_filters": "{'otel.otel_traces': '0', 'otel.otel_traces_orq_days': '0'}",
    "aggregate_functions_null_for_empty": 1,
    "apply_deleted_mask": 0,
    "data_type_default_nullable": 1,
    "distributed_group_by_no_merge": 1,
    "empty_result_for_aggregation_by_empty_set": 1,
    "enable_analyzer": 0,
    "enable_positional_arguments": 0,
    "final": 1,
    "group_by_use_nulls": 1,
    "join_default_strictness": "ANY",
    "join_use_nulls": 1,
    "limit": 2,
    "session_timezone": "Asia/Kolkata",
    "skip_unavailable_shards": 1,
    "query_cache_nondeterministic_function_handling": "ignore",
    "query_cache_system_table_handling": "ignore",
    "use_query_cache": 1,
}


@pytest.fixture
def acting(tmp_path: Path) -> As:
    """Returns the same database for a user with some rights, for as long as a block takes.

    And with some settings in the user's profile, in XML.
    """

    @contextmanager
    def acting(rights: Sequence[str], profile: str = "") -> Iterator[Database]:
        users, configuration = tmp_path / "users.xml", tmp_path / "config.xml"
        grants = "".join(f"<query>{right}</query>" for right in rights)
        users.write_text(USERS.format(grants=grants, profile=profile))
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


def profile(settings: dict[str, object], constraints: str = "") -> str:
    told = "".join(f"<{name}>{value}</{name}>" for name, value in settings.items())
    return f"{told}<constraints>{constraints}</constraints>"


def test_no_setting_of_a_profile_changes_an_answer(acting: As, tmp_path: Path) -> None:
    spans = [
        KeptSpan(one, read(one))
        for number, name in enumerate("aabc")
        for one in [call(name, start=NOON + number * MINUTE, says=f"Is it {name}?", tags=("x",))]
    ]
    judged = agents.judged(spans[0], "helpful", score__value=1.0)
    rights = ["GRANT ALL ON *.*"]
    with acting(rights) as database:
        database.server.command("CREATE DATABASE otel")
        for statement in (TABLE, *TIMES, LOGS):
            database.command(statement)
    with acting(rights, profile(PROFILE)) as database:

        def check(*left: KeptSpan) -> None:
            """Check that answers are those of the viewer's own file."""
            file = SQLiteStore(tmp_path / f"{len(left)}.db")
            file.write(left, [judged])
            store.follow()
            query = ThreadQuery(text="is it")
            assert store.threads(query).threads == file.threads(query).threads
            assert store.overview(query) == file.overview(query)
            for kind in KINDS:
                assert store.numbers(query, kind) == file.numbers(query, kind)
            file.close()

        with database.store() as store:
            assert store.threads(ThreadQuery()).threads == ()
            store.create_rollup()
            database.insert(spans, [judged])
            check(*spans)
            gone = spans[2].span.span_id
            database.command(f"DELETE FROM otel_traces WHERE SpanId = '{gone}'")
            check(*spans[:2], spans[3])
    fixed = "<join_use_nulls><readonly/></join_use_nulls>"
    with acting(rights, profile({"join_use_nulls": 1}, fixed)) as database:
        needed = "the profile of viewer has join_use_nulls = 1, .*It needs 0"
        with pytest.raises(StoreError, match=needed), database.store():
            pass
