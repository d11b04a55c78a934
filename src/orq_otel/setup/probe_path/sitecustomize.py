"""Starts the doctor's probes when Python starts, and then any other sitecustomize.

`orq-otel doctor -- COMMAND` puts this folder first on PYTHONPATH. Nothing else imports this file.
"""

from __future__ import annotations

import contextlib
import sys
from importlib import import_module
from pathlib import Path

with contextlib.suppress(Exception):  # the program goes on without probes
    from orq_otel.foundations.variables import without_wrong

    without_wrong(lambda: import_module("orq_otel.setup.probes").begin())

_here = Path(__file__).resolve().parent
_path = list(sys.path)
sys.path[:] = [one for one in _path if Path(one).resolve() != _here]
_this = sys.modules.pop("sitecustomize", None)
try:
    import_module("sitecustomize")
except ModuleNotFoundError:
    if _this is not None:
        sys.modules["sitecustomize"] = _this
finally:
    sys.path[:] = _path
