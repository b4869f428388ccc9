"""Many questions at once: what is asked, what came of it, and what the numbers may claim."""
