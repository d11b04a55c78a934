"""These tests need servers and frameworks that only their own environment has."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("gunicorn") else ["test_*.py"]
