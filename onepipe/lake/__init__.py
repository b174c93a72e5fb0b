"""The lake: what arrived (raw), what is true (clean), and the way from one to the other."""
