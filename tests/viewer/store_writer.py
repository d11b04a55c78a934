"""Write batches of ten spans into a file, `store_writer.py PATH NAME`, and tell which are kept."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from pathlib import Path

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.store import StoreError
from orq_otel.viewer.store.sqlite import SQLiteStore
from viewer.sample_spans import call


def main(path: str, name: str) -> None:
    try:
        store = SQLiteStore(Path(path))
        for turn in itertools.count():
            thread = f"{name}-{turn}"
            spans = [
                replace(
                    call(thread, says="What a day! " * 200),
                    trace_id=thread.encode().hex().zfill(32),
                    span_id=f"{index:016x}",
                )
                for index in range(10)
            ]
            store.write([KeptSpan(span, read(span)) for span in spans])
            print("kept", thread, flush=True)  # noqa: T201 - it tells the test
    except StoreError as error:
        print("error", error.is_temporary, error, flush=True)  # noqa: T201 - as above


main(*sys.argv[1:])
