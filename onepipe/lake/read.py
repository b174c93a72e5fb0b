"""Reading a lake's tables: typed, by ranges of days, as Arrow, pandas, polars, DuckDB or records."""

from __future__ import annotations

import copy
import datetime as dt
import html
import itertools
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

import attrs
import pyarrow as pa

from onepipe.arguments import require_a, require_count, require_moment
from onepipe.declaring.topic import Topic
from onepipe.errors import ConfigurationError, DeclarationError, MissingDependency, nearest
from onepipe.lake import columns as c
from onepipe.lake.engine import engine_errors, import_duckdb
from onepipe.lake.logical import compile_record
from onepipe.lake.scan import Scan

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import polars as pl

    from onepipe.lake import Lake

_SHOWN_ROWS: Final = 10

R = TypeVar("R")


class Table:
    """What a lake holds of a topic, to be read. Each method that narrows gives a new Table; nothing is read before.

    It shows the clean table's newest version: one row an identity, without deleted ones, with the topic's fields. Rows
    come by day of event time, and by identity hash within a file.

    Args:
        lake: where it is.
        topic: the topic.
    """

    def __init__(self, lake: Lake, topic: Topic) -> None:
        self._topic = topic
        self._scan = Scan(lake, topic)
        self._selected: tuple[str, ...] | None = None
        self._system = False

    def raw(self) -> Table:
        """What arrived, instead of what is true: every message archived, those that are quarantined too."""
        return self._narrowed(raw=True)

    def between(self, start: dt.date | None, end: dt.date | None) -> Table:
        """Rows of event time from `start` up to but not including `end`; only the files of these days are opened.

        Rows without event time are in no range. Where the topic has no event time, that of the message counts.

        Args:
            start: a date (its midnight UTC) or an aware datetime; None for no bound.
            end: likewise.

        Raises:
            ConfigurationError: a naive datetime, one outside the years 1 to 9999 (UTC), or what is no date.
        """
        return self._narrowed(start=_moment(start), end=_moment(end))

    def select(self, *names: str) -> Table:
        """Only these columns, in this order; the lake's own too, by name.

        Raises:
            ConfigurationError: there is no such column, or a name is no text; says the nearest match.
        """
        known = self._scan.columns.names
        for name in names:
            require_a(str, "a column's name", name, "text")
            if name not in known:
                raise ConfigurationError(
                    f"there is no column {name!r}{nearest(str(name), known)}", topic=self._topic.name
                )
        table = self._narrowed()
        table._selected = names  # noqa: SLF001  (of this same class, and just made)
        return table

    def system_columns(self) -> Table:
        """With the lake's own columns behind the topic's fields; see `onepipe.lake.columns`."""
        table = self._narrowed()
        table._system = True  # noqa: SLF001  (of this same class, and just made)
        return table

    def include_deleted(self) -> Table:
        """With the rows of deleted identities, in which only identity, version and event time are not null."""
        return self._narrowed(deleted=True)

    def at(self, version: int) -> Table:
        """As of a version of the table; a number as `dedup` reports it.

        Raises:
            ConfigurationError: no number, or a negative one.
        """
        require_count("version", version, least=0)
        return self._narrowed(version=version)

    def as_of(self, moment: dt.datetime) -> Table:
        """As it was at a moment.

        Raises:
            ConfigurationError: no datetime, or one without time zone.
        """
        require_moment("as_of", moment)
        return self._narrowed(version=moment)

    @property
    def schema(self) -> pa.Schema:
        """The columns that reading gives."""
        known = self._scan.columns
        if self._selected is not None:
            return pa.schema([known.field(name) for name in self._selected])
        return known if self._system else c.field_columns(self._topic)

    def count(self) -> int:
        """How many rows there are."""
        if (self._scan.raw or self._scan.deleted) and not self._scan.ranged:
            return sum(file.rows for file in self._scan.files()[1])
        return sum(batch.num_rows for batch in self._scan.batches([]))

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """The rows batch by batch; about one batch is in memory at a time.

        Raises:
            CorruptFile: a file is missing or unreadable.
        """
        schema = self.schema
        for batch in self._scan.batches(schema.names):
            yield _conformed(batch, schema)

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        return pa.Table.from_batches(self.to_batches(), self.schema)

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a pandas frame.

        Raises:
            MissingDependency: pandas is not installed.
        """
        try:
            import pandas  # noqa: F401  (pyarrow needs it, and says less when it is not there)
        except ImportError as error:
            raise MissingDependency("a frame needs pandas", remedy="pip install 'onepipe[pandas]'") from error
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def to_polars(self) -> pl.DataFrame:
        """The rows as a polars frame.

        Raises:
            MissingDependency: polars is not installed.
        """
        try:
            import polars
        except ImportError as error:
            raise MissingDependency("a frame needs polars", remedy="pip install 'onepipe[polars]'") from error
        frame = polars.from_arrow(self.to_arrow())
        assert isinstance(frame, polars.DataFrame)  # noqa: S101  (a table gives a frame, says its documentation)
        return frame

    def to_duckdb(self, connection: duckdb.DuckDBPyConnection | None = None) -> duckdb.DuckDBPyRelation:
        """The rows as a DuckDB relation, which reads the files when it is used.

        Where the lake is not local, they are read now, into a temporary table of the connection.

        Args:
            connection: the connection it belongs to; a new one in memory where None.

        Raises:
            MissingDependency: DuckDB is not installed.
        """
        connection = connection or import_duckdb().connect(":memory:")
        with engine_errors("reading with DuckDB"):
            if self._scan.lake.storage.remote:
                return self._loaded(connection)
            return connection.sql(self._scan.sql(self.schema.names))

    @overload
    def records(self) -> Iterator[dict[str, Any]]: ...
    @overload
    def records(self, cls: type[R]) -> Iterator[R]: ...
    def records(self, cls: type | None = None) -> Iterator[Any]:
        """The records one by one, with the values they were published with; deleted and quarantined ones are left out.

        Args:
            cls: a record class of the topic; dicts by field name where None.

        Raises:
            DeclarationError: not a record class, or one that has a field the table lacks.
        """
        from onepipe.declaring.record import record_info  # reading frames needs no record classes

        info = record_info(cls) if cls else None
        schema = info.schema if info else self._topic.schema
        convert = compile_record(schema, info.classes if info else {})
        names = [field.name for field in getattr(schema.root, "fields", ())]
        known = self._scan.columns.names
        for name in names:
            if name not in known:
                raise DeclarationError(f"the table has no column {name!r}{nearest(name, known)}", field=name)
        hidden = [c.DELETED, c.ERROR] if self._scan.raw else [c.DELETED]
        for batch in self.select(*names, *hidden).to_batches():
            for row in batch.to_pylist():
                if not any(row[name] for name in hidden):
                    yield convert(row)

    def __repr__(self) -> str:
        narrowed = [
            ("raw", self._scan.raw),
            ("deleted too", self._scan.deleted),
            ("a range of days", self._scan.ranged),
        ]
        words = ["columns " + ", ".join(self._selected)] if self._selected is not None else []
        words += [word for word, given in narrowed if given]
        return f"<Table {self._topic.name}{': ' if words else ''}{', '.join(words)}>"

    def _repr_html_(self) -> str:
        head = pa.Table.from_batches(self._first_batch(), self.schema).slice(0, _SHOWN_ROWS)
        cells = "".join(f"<th>{html.escape(name)}</th>" for name in head.schema.names)
        lines = [
            "<tr>" + "".join(f"<td>{html.escape(str(value))}</td>" for value in row.values()) + "</tr>"
            for row in head.to_pylist()
        ]
        caption = f"{html.escape(self._topic.name)}: {self.count():,} {'messages' if self._scan.raw else 'records'}"
        header = f"<caption>{caption}</caption><thead><tr>{cells}</tr></thead>"
        return f"<table>{header}<tbody>{''.join(lines)}</tbody></table>"

    def _narrowed(self, **changes: Any) -> Table:
        table = copy.copy(self)
        table._scan = attrs.evolve(self._scan, **changes)  # noqa: SLF001  (of this same class, and just made)
        return table

    def _loaded(self, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
        name = f"onepipe_{secrets.token_hex(8)}"
        source = f"{name}_source"
        connection.register(source, pa.RecordBatchReader.from_batches(self.schema, self.to_batches()))
        try:
            connection.execute(f"CREATE TEMP TABLE {name} AS FROM {source}")
        finally:
            connection.unregister(source)
        return connection.table(name)

    def _first_batch(self) -> list[pa.RecordBatch]:
        return list(itertools.islice(self.to_batches(), 1))


def _moment(bound: dt.date | None) -> dt.datetime | None:
    if bound is None:
        return None
    require_a(dt.date, "a bound of a range", bound, "a date or an aware datetime")
    if not isinstance(bound, dt.datetime):
        return dt.datetime.combine(bound, dt.time(), dt.UTC)
    if bound.utcoffset() is None:
        raise ConfigurationError("a range needs aware datetimes", remedy="give them a time zone: tzinfo=datetime.UTC")
    try:
        return bound.astimezone(dt.UTC)
    except OverflowError:
        raise ConfigurationError("a range is within the years 1 to 9999 (UTC)", remedy="None for no bound") from None


def _conformed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The columns of `schema`, null where the batch lacks one."""
    present = batch.schema.names
    columns = [
        batch.column(field.name).cast(field.type) if field.name in present else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
