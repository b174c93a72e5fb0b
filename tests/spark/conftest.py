"""A Spark session for the tests of this folder, in two threads of this machine."""

from __future__ import annotations

import shutil
import sys
import warnings

import pytest
from services.service import Missing, start_own


@pytest.fixture(scope="session")
def session():
    """The session."""
    found = start_own("Spark", _start, "")
    yield found
    found.stop()


def _start():
    if shutil.which("java") is None:
        raise Missing("Java is not installed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pandas' version, which nothing here uses
            from pyspark.sql import SparkSession
    except ImportError:
        raise Missing("pyspark is not installed") from None
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.pyspark.python": sys.executable,
        "spark.pyspark.driver.python": sys.executable,
    }
    builder = SparkSession.builder.master("local[2]").appName("onepipe tests")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()
