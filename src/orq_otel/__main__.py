"""`python -m orq_otel`: the command line, for where the command `orq-otel` is not on the path."""

from __future__ import annotations

import sys

from orq_otel.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
