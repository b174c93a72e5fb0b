"""Declaring: one topic from a class or a document, its rules, and what changes between two of its versions."""
