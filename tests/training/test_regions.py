"""Decision regions: python -m pytest tests/training/test_regions.py"""

import numpy as np

from explorer import data, training, zoo
from explorer.training import TrainConfig
from explorer.training.run import regions


def test_the_regions_are_the_networks_answers_all_over_the_plane():
    config = TrainConfig("points", "mlp", epochs=40, dataset_settings={"kind": "gaussians"}, weight_decay=0.0)
    run = training.fit(config)
    found = regions(run, run.best, cells=20)
    assert found.x.shape == (400, 2)
    np.testing.assert_allclose(zoo.load(run.ref).predict(found.x), found.probabilities, atol=1e-6)
    test = data.load("points", "test", kind="gaussians")
    nearest = np.abs(test.x[:, None] - found.x[None]).sum(2).argmin(1)  # the cell of each test point
    assert (found.probabilities.argmax(1)[nearest] == test.y).mean() > 0.95
