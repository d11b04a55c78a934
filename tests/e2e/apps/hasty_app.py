"""The assistant with `configure()`, in a program that ends without a word to telemetry."""

from conversations import hold_all

import orq_otel

orq_otel.configure()
hold_all()
