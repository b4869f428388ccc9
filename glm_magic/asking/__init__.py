"""One question, from plan to turn."""
