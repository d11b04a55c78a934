"""Carry a thread to other processes, in headers, and to other OS threads."""
