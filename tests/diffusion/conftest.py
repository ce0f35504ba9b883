"""What the tests of diffusion share."""

import pytest

from tests.diffusion import nets


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Refs of tiny pipelines, each saved once: saved(kind, **scheduler)."""
    refs = {}

    def get(kind, **scheduler):
        key = kind, *sorted(scheduler.items())
        if key not in refs:
            refs[key] = nets.save(tmp_path_factory.mktemp("pipelines") / kind, kind, **scheduler)
        return refs[key]

    return get
