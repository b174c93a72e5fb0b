"""Values of Avro's leaf types: between what Python programs hold and what the bytes hold, exactly.

A *logical* value is what programs see (a datetime, a Decimal, a UUID); a *base* value is what the type's bytes stand
for: days, milli- or microseconds as int, decimals and durations as bytes, enums as their symbol. All arithmetic is on
integers; a value that the type cannot hold exactly is refused, never rounded (floats to Avro's 32-bit float excepted).

Source: Apache Avro 1.12 specification, section "Logical Types".
"""

from onepipe.schema.values.base import converter, symbol_of, to_base
from onepipe.schema.values.decimals import decimal_from, integer_bytes
from onepipe.schema.values.duration import Duration
from onepipe.schema.values.leaf import (
    EPOCH,
    EPOCH_ORDINAL,
    INTEGER_RANGES,
    LOCAL_EPOCH,
    MOMENTS,
    Leaf,
    kind_of,
    misfit,
    wrong_type,
)
from onepipe.schema.values.logical import from_base, interpreter, time_from

__all__ = [
    "EPOCH",
    "EPOCH_ORDINAL",
    "INTEGER_RANGES",
    "LOCAL_EPOCH",
    "MOMENTS",
    "Duration",
    "Leaf",
    "converter",
    "decimal_from",
    "from_base",
    "integer_bytes",
    "interpreter",
    "kind_of",
    "misfit",
    "symbol_of",
    "time_from",
    "to_base",
    "wrong_type",
]
