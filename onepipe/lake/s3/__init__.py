"""Lakes on S3 and on stores that speak its protocol: `lake="s3://bucket/prefix"`. Needs the extra `onepipe[s3]`."""

from onepipe.lake.s3.address import S3Address, parse_address
from onepipe.lake.s3.storage import S3Storage

__all__ = ["S3Address", "S3Storage", "parse_address"]
