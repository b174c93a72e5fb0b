"""The memory transport: a faithful log inside one process, or in a folder on disk.

memory://           a new log of one's own
memory://name       a log shared by all who name it, as long as the process lives
memory:///folder    a durable log in a folder (memory://./folder is relative to the working directory)
"""
