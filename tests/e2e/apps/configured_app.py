"""The assistant, with the one call that sets up telemetry."""

import sys

from conversations import hold_all

import orq_otel

handle = orq_otel.configure()
sys.stdout.write(f"{hold_all()} messages\n")
handle.shutdown()
