"""The version, in a room so low that every other may know it."""

__version__ = "0.1.0"
