"""Dynamic binding: classes made at run time from a schema document."""

from __future__ import annotations
import __future__

from functools import lru_cache
from typing import Any

from onepipe.codegen import generate_source
from onepipe.declaring import vocabulary
from onepipe.declaring.rules import ATTRIBUTE
from onepipe.declaring.topic import Topic
from onepipe.schema.model import Record, Schema


def record_class(source: Topic | Schema | Any) -> type:
    """The class that stands for a topic, or for the record of a schema document.

    It is made of the source that `onepipe.codegen.generate` gives, so what it declares equals the document. Equal
    documents give the same class; `record_info(cls).classes` has those of the records and enums inside.

    Args:
        source: a topic, a schema, or a schema document (JSON text or value).

    Raises:
        SchemaError: the document is not valid Avro.
        DeclarationError: it is not a record, or has a field name that no class can have.
    """
    schema = source.schema if isinstance(source, Topic) else source
    if not isinstance(schema, Schema):
        schema = Schema.parse(schema)
    return _record_class(schema)


@lru_cache(maxsize=1024)
def _record_class(schema: Schema) -> type:
    root = schema.root
    declares = isinstance(root, Record) and "topic" in root.attributes.get(ATTRIBUTE, {})
    generated = generate_source(Topic.from_document(schema.document()) if declares else schema)
    text = "\n".join([*generated.imports, generated.body])
    namespace: dict[str, Any] = {"__name__": "onepipe.declaring.binding", generated.onepipe: vocabulary}
    code = compile(text, "<record class>", "exec", __future__.annotations.compiler_flag, dont_inherit=True)
    exec(code, namespace)  # noqa: S102  # generated of a parsed schema: its names are identifiers, all else is literals
    made: type = namespace[generated.root]
    return made
