"""Measurements of onepipe beside its peers, as ratios taken side by side in one run; `python -m benchmarks --help`.

`docs/explanation/speed.md` says what is measured and why so.
"""
