"""The functions that a model may call, and the schemas that its answers must fit."""
