"""How long a network takes for an example, measured once for each that is open."""

import time
import weakref

from explorer.activations.capture import calm
from explorer.activations.feed import Feed, dataset, sample
from explorer.zoo.model import Model

SIZES = (1, 8, 8)  # examples that pass together; a second pass of as many finds everything warm
ENOUGH = 0.1  # seconds of a pass after which no more are made

_paces: weakref.WeakKeyDictionary[Model, float] = weakref.WeakKeyDictionary()


def pace(model: Model, given: Feed | None = None) -> float:
    """Seconds of a forward pass for one example, among eight where that is quick, on one thread.

    given: examples that pass where the network's own are not here.
    """
    if model not in _paces:
        found = []
        with model.borrow() as net, calm(net):
            for size in SIZES:
                some = given if given is not None and dataset(model) is None else sample(model, size)
                began = time.thread_time()
                some.run(net)
                took = time.thread_time() - began
                found.append(took / len(some))
                if took > ENOUGH:
                    break
        _paces[model] = min(found)
    return _paces[model]
