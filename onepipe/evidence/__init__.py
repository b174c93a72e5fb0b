"""Evidence: what a writer says of a record, of itself, and of each partition it writes to."""
