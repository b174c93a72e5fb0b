from __future__ import annotations

import inspect
import re
from pathlib import Path

from onepipe.testing.transport import TransportContract

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "transport-contract.md"
SCENARIOS = {name: test for name, test in inspect.getmembers(TransportContract) if name.startswith("test_")}


def test_every_scenario_is_listed_with_its_number_and_text() -> None:
    listed = dict(re.findall(r"^\| (T\d\d.*?) \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    documented = dict(inspect.cleandoc(test.__doc__ or "").split(": ", 1) for test in SCENARIOS.values())
    assert listed == documented


def test_a_scenario_is_named_by_its_number() -> None:
    for name, test in SCENARIOS.items():
        assert name.startswith(f"test_{(test.__doc__ or '')[:3].lower()}_")
    assert len({name[5:8] for name in SCENARIOS}) == len(SCENARIOS)
