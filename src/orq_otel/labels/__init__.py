"""A thread becomes attributes of spans and log records."""
