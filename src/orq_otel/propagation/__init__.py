"""A thread in baggage and headers, which hosts get it, and worker threads."""
