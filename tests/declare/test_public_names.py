from __future__ import annotations

import pkgutil

import onepipe


def test_no_module_hides_a_public_name_once_it_is_imported() -> None:
    modules = {module.name for module in pkgutil.iter_modules(onepipe.__path__)}
    assert modules & set(onepipe.__all__) == {"errors"}


def test_every_public_name_is_there() -> None:
    assert [name for name in onepipe.__all__ if not hasattr(onepipe, name)] == []
    assert onepipe.__all__ == sorted(onepipe.__all__)
