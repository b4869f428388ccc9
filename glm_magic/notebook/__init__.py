"""Saved notebooks and what is kept beside them; the only package that knows their format."""
