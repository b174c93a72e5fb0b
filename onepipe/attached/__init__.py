"""Topics that already exist, and whose messages others write: what they hold, and how it is read.

`source` is the part of a declaration that says what foreign messages hold; `declare` makes the declaration; `values`
and `json_values` read what messages hold as trees of logical values; `translate` makes records of them.
"""
