"""Shipped for tests: contract suites to inherit, and what tests of pipelines need."""
