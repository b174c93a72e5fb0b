"""Python classes from a schema document: source text of which the derived declaration equals the document.

Fields whose Python form says less than the document get markers: `branches` where a union's order is unusual,
`attributes` for what Avro does not define, `json_default` where a default has no exact Python form.
"""

from __future__ import annotations

import attrs

from onepipe.codegen.classes import ClassWriter
from onepipe.codegen.names import sorted_imports
from onepipe.declaring.topic import Topic
from onepipe.errors import DeclarationError
from onepipe.schema.defaults import require_valid_defaults
from onepipe.schema.model import Record, Schema

__all__ = ["Source", "generate", "generate_source"]


@attrs.frozen
class Source:
    """Generated source.

    Attributes:
        imports: lines that import what the body uses, but for onepipe.
        body: the classes, each after those it holds defaults of.
        onepipe: the name by which the body knows onepipe.
        root: name of the class that stands for the root.
    """

    imports: tuple[str, ...]
    body: str
    onepipe: str
    root: str


def generate(source: Topic | Schema) -> str:
    """Python source of the classes that declare a topic, or the records of a schema. The same for equal documents.

    Raises:
        DeclarationError: the schema is not a record, has a field name that no class can have, or a default that is no
            value of its field's type.
    """
    generated = generate_source(source)
    onepipe = "import onepipe" + ("" if generated.onepipe == "onepipe" else f" as {generated.onepipe}")
    imports = ["\n".join(sorted_imports(generated.imports))] if generated.imports else []
    return "\n\n".join(["from __future__ import annotations", *imports, onepipe, f"\n{generated.body}"])


def generate_source(source: Topic | Schema) -> Source:
    """The parts of what `generate` returns."""
    topic, schema = (source, source.schema) if isinstance(source, Topic) else (None, source)
    if not isinstance(schema.root, Record):
        raise DeclarationError("only a record becomes a class")
    require_valid_defaults(schema)
    writer = ClassWriter(schema, topic)
    writer.record(schema.root, "")
    names = writer.names
    return Source(tuple(names.imports()), writer.text(), names.onepipe, writer.classes[schema.root.name])
