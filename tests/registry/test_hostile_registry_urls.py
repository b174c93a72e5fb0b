"""Registry URLs that name no file."""

from __future__ import annotations

import pytest

from onepipe.errors import ConfigurationError
from onepipe.registry import open_registry


@pytest.mark.parametrize("path", ["\0", "%00", "\ud800"])
def test_a_path_that_no_file_can_have_is_a_configuration_error(path: str) -> None:
    with pytest.raises(ConfigurationError):
        open_registry(f"sqlite:///{path}")
