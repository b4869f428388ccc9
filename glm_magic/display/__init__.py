"""What is seen: the only room that knows Markdown, HTML and widgets. It knows no chat but its events."""
