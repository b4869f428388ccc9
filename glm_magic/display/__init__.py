"""What the user sees: the only package that knows Markdown, HTML and widgets. Of a chat it knows the events alone."""
