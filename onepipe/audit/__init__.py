"""The audit: every hop says what it saw; verification reads the data itself and names what differs."""
