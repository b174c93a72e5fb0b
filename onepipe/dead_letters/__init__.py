"""Dead letters: records that could not be published or handled, kept durably with the reason.

Each topic has its own dead-letter topic, `<topic>.dead-letters`, of one schema.
"""

from onepipe.dead_letters.topic import dead_letter_topic

__all__ = ["dead_letter_topic"]
