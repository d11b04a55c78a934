"""Backends of others, each started by the test and asked through its own API."""
