"""What all kinds share: camelCase wire names, metadata, conditions.

pydantic is used at the edges only; planners and verdicts work on frozen dataclasses.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

Timestamp = Annotated[
    datetime,
    PlainSerializer(
        lambda t: t.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        return_type=str,
        when_used="json",
    ),
]
"""metav1.Time: whole seconds, UTC. metav1.Time refuses fractions on the wire."""


class Wire(BaseModel):
    """Base of everything that crosses the API: frozen, camelCase, unknown fields dropped.

    Unknown fields are dropped rather than refused so that an agent of this version
    reads objects of the next one; the API server has validated them already.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    def wire(self) -> dict[str, Any]:
        """The JSON form that the API server takes: camelCase, without absent fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def cel(rule: str, message: str, *, field_path: str | None = None) -> JsonDict:
    """A validation rule for ``json_schema_extra``, run by the API server.

    Args:
        rule: CEL, with ``self`` for the value and ``oldSelf`` for the one before.
        message: what the user is told; the API server puts the field's path before it.
        field_path: the field below this one that is to blame, like ``.cpus``.
    """
    found: JsonDict = {"rule": rule, "message": message}
    return found if field_path is None else {**found, "fieldPath": field_path}


def validations(*rules: JsonDict) -> JsonDict:
    """The ``json_schema_extra`` of a field or model with these :func:`cel` rules."""
    return {"x-kubernetes-validations": list(rules)}


ATOMIC_MAP: Final[JsonDict] = {"x-kubernetes-map-type": "atomic"}
"""For parts that one manager always writes whole.

Server-side apply then keeps one entry in managedFields instead of one for each leaf.
"""


class OwnerReference(Wire):
    """metav1.OwnerReference."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(Wire):
    """The part of metav1.ObjectMeta that numapin reads or writes."""

    name: str
    namespace: str | None = None
    uid: str | None = None
    generation: int | None = None
    resource_version: str | None = None
    creation_timestamp: Timestamp | None = None
    deletion_timestamp: Timestamp | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[OwnerReference] | None = None


class Condition(Wire):
    """metav1.Condition."""

    type: Annotated[str, Field(max_length=316)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[
        str,
        Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"),
    ]
    message: Annotated[str, Field(max_length=32768)]
    last_transition_time: Timestamp
    observed_generation: Annotated[int | None, Field(ge=0)] = None


Conditions = Annotated[
    list[Condition],
    Field(
        max_length=32,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    ),
]


class Resource(Wire):
    """A whole object: apiVersion, kind, metadata. Kinds add spec and status."""

    api_version: str
    kind: str
    metadata: ObjectMeta

    @classmethod
    def read(cls, obj: object) -> Self:
        """Validate an object as the API server sent it.

        Raises:
            pydantic.ValidationError: the object is not of this kind.
        """
        return cls.model_validate(obj)
