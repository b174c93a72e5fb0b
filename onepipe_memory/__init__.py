"""The memory transport: a faithful log inside one process, or in a folder on disk.

memory://           a new log of one's own
memory://name       a log shared by all who name it, as long as the process lives
memory:///folder    a durable log in a folder (memory://./folder is relative to the working directory)

A forked child cannot use its parent's logs: a log in memory would be a copy that nobody reads, one on disk is the
parent's to write. It connects again; names then mean logs of its own.
"""
