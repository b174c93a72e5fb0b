"""Bodies: from a message's bytes to its record or delete, whatever schema and codec wrote them."""
