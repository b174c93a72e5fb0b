"""A PostgreSQL database for the tests: ONEPIPE_TEST_POSTGRESQL says where; each test gets a schema of its own in it."""

from __future__ import annotations

import os
import uuid

import pytest
import sqlalchemy as sa

VARIABLE = "ONEPIPE_TEST_POSTGRESQL"


@pytest.fixture
def postgresql_url():
    given = os.environ.get(VARIABLE)
    if given is None:
        message = f"needs a PostgreSQL: {VARIABLE}=postgresql+psycopg://user@host:port/database"
        pytest.fail(message)
    name = f"test_{uuid.uuid4().hex}"
    engine = sa.create_engine(given)
    with engine.begin() as connection:
        connection.exec_driver_sql(f'CREATE SCHEMA "{name}"')
    yield sa.make_url(given).update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(False)
    with engine.begin() as connection:
        connection.exec_driver_sql(f'DROP SCHEMA "{name}" CASCADE')
    engine.dispose()
