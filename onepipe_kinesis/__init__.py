"""The Amazon Kinesis transport, on boto3 (onepipe[kinesis]).

kinesis://region?positions=dynamodb              positions, leases and checkpoints in a DynamoDB table
kinesis://region?positions=sqlite:///path        the same in a SQL database, beside the registry
kinesis://region?endpoint=http://host:port&…     another endpoint than that of AWS

Credentials are found by AWS's own chain; none stands in a URL. A topic is a stream. What Kinesis has not, and this
plugin adds, is said where it is added:

- partitions that stay while shards are split and merged, and the order that holds in them: `points`;
- offsets, which are counted and the same for every reader: `anchors`, `partition`;
- keys, headers, timestamps and tombstones: `envelope`;
- batches that are stored whole or not at all, so that a retry never changes an order: `writer`;
- groups of readers, their leases and checkpoints: `membership`, over the shared `store`.

A forked child cannot use its parent's connections: it connects again.
"""
