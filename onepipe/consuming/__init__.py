"""Consuming: records of messages, what was read, handled and committed, and trying again what failed."""
