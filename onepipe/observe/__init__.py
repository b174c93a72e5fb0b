"""Observing: frozen event data handed to observers; for numbers and traces, never for correctness."""
