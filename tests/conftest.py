"""What all tests share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_folder_of_data_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test sees does not depend on the variable that its user has set."""
    monkeypatch.delenv("RDC_DYN_DATA", raising=False)
