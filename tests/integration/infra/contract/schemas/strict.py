"""Models that refuse what they do not know, for custom kinds whose schemas are published nowhere.

Written from the Go types of the projects at the versions named beside each; they hold the fields
that we use and their neighbours. Add a field when a manifest needs it.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

Quantity = int | Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?(m|[kMGTP]i?)?$")]
IntOrString = int | str
PodSpec = dict[str, Any]  # looked at by the schemas of Kubernetes
Count = Annotated[int, Field(ge=0)]
Name = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)
]
GoDuration = Annotated[str, StringConstraints(pattern=r"^(\d+(\.\d+)?(ms|s|m|h))+$")]


class Strict(BaseModel):
    """No unknown field, no value of another type; fields are written in camelCase."""

    model_config = ConfigDict(
        extra="forbid", strict=True, alias_generator=to_camel, validate_by_name=False
    )


class Metadata(Strict):
    """What is written of an object's metadata."""

    name: Name
    namespace: Name | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class Kind(Strict):
    """An object of the API; children fix its version and kind, and add the rest."""

    metadata: Metadata


class LabelRule(Strict):
    """One expression of a label selector."""

    key: str
    operator: str
    values: list[str] = Field(default_factory=list)


class LabelSelector(Strict):
    """Kubernetes' own selector of labels."""

    match_labels: dict[str, str] = Field(default_factory=dict)
    match_expressions: list[LabelRule] = Field(default_factory=list)


class Toleration(Strict):
    """Kubernetes' own toleration of a taint."""

    key: str | None = None
    operator: str | None = None
    value: str | None = None
    effect: str | None = None
    toleration_seconds: int | None = None
