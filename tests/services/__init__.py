"""Real services for tests: each the one that a variable names, else started here, else left out with a reason."""
