"""What a model may call, and what an answer must fit."""
