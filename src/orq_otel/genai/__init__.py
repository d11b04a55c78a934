"""One GenAI call as telemetry. Knows the conventions, and no client SDK."""
