"""Whether telemetry says what the conventions want it to say."""
