"""Avro schemas: the typed tree, derivation, compatibility, framing, and the codecs."""
