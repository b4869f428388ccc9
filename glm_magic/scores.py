"""The ready-made scores, for ``--score`` and `compare`.

::

from glm_magic.scores import equals, judge

right = equals("label")     # is the answer what the row's column "label" holds?
polite = judge("Is the answer polite?", model="GLM-4-Plus")
"""

from glm_magic.comparing.judges import judge, prefers
from glm_magic.comparing.scores import contains, equals, json_valid, length, matches, schema_valid, similar

__all__ = ["contains", "equals", "json_valid", "judge", "length", "matches", "prefers", "schema_valid", "similar"]
