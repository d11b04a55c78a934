"""What all other packages in here use: the guard, settings, patching and more."""
