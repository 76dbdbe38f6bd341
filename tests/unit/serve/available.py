"""What a deployment of the tests has, and small parameters for every strategy."""

from typing import Any

from s1_serve.strategies.catalogue import Available

AVAILABLE = Available(models=("other",))
SMALL: dict[str, dict[str, Any]] = {}
