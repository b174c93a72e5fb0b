"""Spark's session, and its errors as ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from onepipe.errors import ConfigurationError, LakeError, MissingDependency


def import_pyspark() -> Any:
    """The module pyspark.sql.

    Raises:
        MissingDependency: pyspark is not installed.
    """
    try:
        import pyspark.sql
    except ImportError as error:
        raise MissingDependency("dedup on Spark needs pyspark", remedy="pip install 'onepipe[spark]'") from error
    return pyspark.sql


def context_of(session: Any) -> Any:
    """The Spark context of a session; of the active session, or one that is made, where None.

    Raises:
        MissingDependency: pyspark is not installed.
        ConfigurationError: Spark cannot start, or the session was stopped, or is one of Spark Connect.
    """
    sql = import_pyspark()
    from pyspark.errors import PySparkException

    try:
        context = (_started(sql) if session is None else session).sparkContext
    except PySparkException as error:
        remedy = "give a session of Spark itself, as spark-submit makes it"
        raise ConfigurationError("a session of Spark Connect cannot run dedup", remedy=remedy) from error
    try:
        context.applicationId  # noqa: B018 - asked for its error: a context that was stopped has lost its Java side
    except AttributeError as error:
        remedy = "give one that runs, or none"
        raise ConfigurationError("the Spark session was stopped", remedy=remedy) from error
    return context


def _started(sql: Any) -> Any:
    """The active session, or one that is made by the environment's settings."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        return sql.SparkSession.builder.getOrCreate()
    except (Py4JError, PySparkException, OSError) as error:
        remedy = "Spark's log says why; it wants Java, which JAVA_HOME or PATH names, and a master that answers"
        raise ConfigurationError("Spark could not be started", remedy=remedy) from error


@contextlib.contextmanager
def spark_errors(doing: str, topic: str) -> Iterator[None]:
    """Turn Spark's errors into LakeError; their texts may quote values, so they are only the error's cause."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JError, PySparkException) as error:
        remedy = "Spark's log says why; executors need the Python and the onepipe[lake] of the driver"
        raise LakeError(f"{doing} on Spark failed: {type(error).__name__}", topic=topic, remedy=remedy) from error
