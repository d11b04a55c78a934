"""Separate processes, configured by environment variables alone, and collectors of others."""
