"""What a thread is, and where it holds."""
