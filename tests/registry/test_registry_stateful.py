"""Both stores are one registry: whatever is done to them in whatever order, they answer the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from onepipe.declaring.topic import Topic
from onepipe.errors import OnepipeError
from onepipe.merge import first, latest
from onepipe.registry import Level, open_registry
from onepipe.schema.model import Schema

A, B = {"name": "a", "type": "string"}, {"name": "b", "type": "long"}
FIELDS = ([], [A], [A, B], [B], [A, {**B, "default": 0}], [{**A, "type": "bytes"}], [A, {**B, "type": "double"}])
SCHEMAS = [Schema.parse({"type": "record", "name": "R", "fields": fields}) for fields in FIELDS]
BOTH = SCHEMAS[2]
TOPICS = [
    Topic.declare(name, BOTH, identity="a", **declared)
    for name in ("T", "U")
    for declared in ({}, {"merge": latest("b")}, {"merge": first("b")}, {"owner": "team"}, {"checks": {"c": "b > 0"}})
]
subjects = st.sampled_from(["T-value", "U-value", "other"])
schemas = st.sampled_from([*SCHEMAS, *(topic.schema for topic in TOPICS)])
allowed = st.sampled_from([(), ("merge",), ("checks", "merge")])
versions = st.sampled_from(["latest", 1, 2, 3])


class TwoRegistries(RuleBasedStateMachine):
    @initialize()
    def open(self):
        self.folder = tempfile.TemporaryDirectory()
        self.url = f"sqlite:///{Path(self.folder.name) / 'registry.db'}"
        self.memory, self.sql = open_registry("memory://"), open_registry(self.url)

    def same(self, method, *arguments, **keywords):
        outcomes = []
        for registry in (self.memory, self.sql):
            try:
                outcomes.append(getattr(registry, method)(*arguments, **keywords))
            except OnepipeError as error:
                outcomes.append((type(error), str(error)))
        assert outcomes[0] == outcomes[1]

    @rule(topic=st.sampled_from(TOPICS), allow=allowed)
    def register(self, topic, allow):
        self.same("check", topic, allow=allow)
        self.same("register", topic, allow=allow)

    @rule(subject=subjects, schema=schemas, allow=allowed)
    def register_schema(self, subject, schema, allow):
        self.same("register_schema", subject, schema, allow=allow)

    @rule(subject=subjects, schema=schemas)
    def look(self, subject, schema):
        self.same("check_schema", subject, schema)
        self.same("lookup", subject, schema)

    @rule(subject=st.none() | subjects, level=st.none() | st.sampled_from(Level))
    def set_compatibility(self, subject, level):
        self.same("set_compatibility", level, subject)
        self.same("compatibility", subject)

    @rule(name=st.sampled_from(["T", "U", "V"]), version=versions)
    def find(self, name, version):
        self.same("topic", name, version)
        self.same("version", f"{name}-value", version)

    @rule(schema_id=st.integers(0, 20))
    def schema(self, schema_id):
        self.same("schema", schema_id)

    @rule()
    def reopen(self):
        self.sql.close()
        self.sql = open_registry(self.url)

    @invariant()
    def names_and_versions_agree(self):
        self.same("topics")
        for subject in self.memory.subjects():
            self.same("subject_versions", subject)

    def teardown(self):
        if hasattr(self, "folder"):
            self.memory.close()
            self.sql.close()
            self.folder.cleanup()


TestTwoRegistries = TwoRegistries.TestCase
TestTwoRegistries.settings = settings(
    deadline=None, max_examples=15, stateful_step_count=20, suppress_health_check=list(HealthCheck)
)
