"""What every test of faults shares."""

import pytest


@pytest.fixture(scope="session")
def worker_shelf():
    """Every test has workers of its own."""
