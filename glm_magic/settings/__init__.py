"""What can be set, and where a value comes from."""
