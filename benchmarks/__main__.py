"""Measure onepipe beside its peers: `python -m benchmarks [names…] [--records N] [--rounds N] [--quick] [--json]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks import codec
from benchmarks.archive import archive
from benchmarks.dedup import dedup
from benchmarks.kafka import kafka
from benchmarks.measure import Result
from benchmarks.publish import publish
from benchmarks.report import document, table
from benchmarks.run import Run, Sizes
from benchmarks.start import start
from benchmarks.verify import verify

BENCHMARKS: Final[dict[str, Callable[[Run], Iterator[Result]]]] = {
    "encode": codec.encode,
    "decode": codec.decode,
    "columnar": codec.columnar,
    "publish": publish,
    "archive": archive,
    "kafka": kafka,
    "dedup": dedup,
    "verify": verify,
    "import": start,
}
_ROUNDS: Final = 5
_QUICK_ROUNDS: Final = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run benchmarks, tell each result on the error output as it comes, and print the report."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"no benchmark is named {', '.join(unknown)}")
    sizes = Sizes.of(options.records, quick=options.quick)
    started = time.perf_counter()
    results = []
    with tempfile.TemporaryDirectory(prefix="onepipe-benchmarks-", dir=options.dir) as folder:
        run = Run(sizes, options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS), Path(folder))
        for name in options.names or BENCHMARKS:
            for result in BENCHMARKS[name](run):
                print(table([result]).splitlines()[-1], file=sys.stderr, flush=True)
                results.append(result)
    print(document(run, results, time.perf_counter() - started) if options.json else table(results))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure onepipe beside its peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--records", type=int, metavar="N", help="rows of the lake; smaller ones bound the rest too")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"of each comparison; {_ROUNDS}, quick {_QUICK_ROUNDS}")
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    parser.add_argument(
        "--dir", metavar="DIR", help="where the lakes are made; the system's temporary folder by default"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
