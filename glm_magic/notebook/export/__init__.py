"""Conversations exported for others to read, train on or run."""
