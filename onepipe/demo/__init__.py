"""The demonstration: a year of real flights through the whole pipeline, with a verdict at the end."""
