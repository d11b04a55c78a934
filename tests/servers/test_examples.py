"""The program of the cookbook that uses a task queue makes the threads that it shows."""

from __future__ import annotations

from support.pages import blocks, run_example, settled


def test_celery() -> None:
    (table,) = blocks("cookbook/celery_tickets.md", "text")
    assert settled(run_example("celery_tickets.py")) == settled(table)
