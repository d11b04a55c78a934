"""What a thread is, and how scopes make it the current one. Standard library only."""
