"""What every room may stand on: the guard, settings, patching, and what else needs no more."""
