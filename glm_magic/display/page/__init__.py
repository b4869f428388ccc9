"""The view in a notebook page."""
