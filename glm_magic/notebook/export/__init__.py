"""A conversation written for others to read or run."""
