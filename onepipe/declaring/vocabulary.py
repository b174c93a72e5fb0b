"""The words with which classes declare topics, in one place."""

from onepipe.declaring.record import enumeration, evolve, field, record
from onepipe.merge import MergePolicy, first, latest, latest_non_null, maximum, minimum, union
from onepipe.schema.markers import (
    attributes,
    avro_name,
    branches,
    decimal,
    fixed,
    float32,
    int32,
    local,
    millis,
)
from onepipe.schema.values import Duration

__all__ = [
    "Duration",
    "MergePolicy",
    "attributes",
    "avro_name",
    "branches",
    "decimal",
    "enumeration",
    "evolve",
    "field",
    "first",
    "fixed",
    "float32",
    "int32",
    "latest",
    "latest_non_null",
    "local",
    "maximum",
    "millis",
    "minimum",
    "record",
    "union",
]
