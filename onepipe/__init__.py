"""onepipe: declare a record once, publish, archive, deduplicate and verify it."""
