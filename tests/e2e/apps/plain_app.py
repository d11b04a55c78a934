"""The assistant without any set-up of telemetry: that is up to `opentelemetry-instrument`."""

import sys

from conversations import hold_all

sys.stdout.write(f"{hold_all()} messages\n")
