"""What is said: pure values and functions; no network, no files, no IPython, no clock."""
