"""The file: the only room that knows what a saved notebook looks like."""
