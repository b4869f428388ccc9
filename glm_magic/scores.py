"""Ready-made scores for ``--score`` and `glm_magic.compare`."""
