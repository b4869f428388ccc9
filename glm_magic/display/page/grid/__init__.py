"""A comparison on a page: a static grid that is saved, and a live one while the kernel runs."""
