"""The version of this distribution, for its metadata and for the scope of its spans."""

__version__ = "0.1.0"
