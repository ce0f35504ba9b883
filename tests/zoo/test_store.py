"""The store: bounded, one load at a time per ref, errors told to all."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from explorer.errors import ExplorerError
from explorer.zoo.refs import Ref
from explorer.zoo.store import Found, Store


class Shelf:
    """Fake models whose name is their size, and a count of the loads."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.pause = threading.Event()
        self.pause.set()

    def find(self, ref: Ref) -> Found:
        return Found(int(ref.name), lambda: self._load(ref))

    def _load(self, ref: Ref) -> SimpleNamespace:
        self.loads.append(ref.name)
        assert self.pause.wait(10)
        return SimpleNamespace(bytes=int(ref.name), ref=ref)


def ref(name: str) -> Ref:
    return Ref("zoo", name)


def test_a_model_is_loaded_once_and_shared():
    shelf, store = Shelf(), Store(100)
    assert store.get(ref("10"), shelf.find) is store.get(ref("10"), shelf.find)
    assert shelf.loads == ["10"]


def test_the_least_recently_used_goes_first_by_bytes():
    shelf, store = Shelf(), Store(100)
    for name in ("40", "30", "20", "40", "35"):  # 40 was used again, so 30 goes
        store.get(ref(name), shelf.find)
    assert store.held() == [("zoo:20", 20), ("zoo:40", 40), ("zoo:35", 35)]
    store.get(ref("100"), shelf.find)
    assert store.held() == [("zoo:100", 100)]


def test_room_is_made_before_a_load_not_after():
    shelf, store = Shelf(), Store(100)
    store.get(ref("60"), shelf.find)
    seen = []

    def find(asked: Ref) -> Found:
        return Found(70, lambda: seen.append(store.held()) or SimpleNamespace(bytes=70))

    store.get(ref("70"), find)
    assert seen == [[]]


def test_a_model_larger_than_the_store_is_refused_before_it_is_loaded():
    shelf, store = Shelf(), Store(100)
    store.get(ref("50"), shelf.find)
    with pytest.raises(ExplorerError, match=r"takes 200 MB, more than the 1 MB"):
        store.get(ref(str(200 * 2**20)), shelf.find)
    assert shelf.loads == ["50"]
    assert store.held() == [("zoo:50", 50)]


def test_sixteen_threads_cause_one_load():
    shelf, store = Shelf(), Store(100)
    shelf.pause.clear()
    with ThreadPoolExecutor(16) as threads:
        asked = [threads.submit(store.get, ref("10"), shelf.find) for _ in range(16)]
        time.sleep(0.1)
        shelf.pause.set()
        assert len({id(one.result(10)) for one in asked}) == 1
    assert shelf.loads == ["10"]


def test_different_models_load_side_by_side():
    store, both = Store(100), threading.Barrier(2)

    def find(asked: Ref) -> Found:
        return Found(1, lambda: SimpleNamespace(bytes=1 + 0 * both.wait(10)))  # each waits for the other

    with ThreadPoolExecutor(2) as threads:
        for one in [threads.submit(store.get, ref(name), find) for name in "ab"]:
            one.result(10)


def test_loads_side_by_side_stay_within_the_limit():
    shelf, store = Shelf(), Store(100)
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda name: store.get(ref(name), shelf.find), map(str, [*range(20, 40)] * 5)))
    assert 0 < sum(size for _, size in store.held()) <= 100
    assert not store._loading
    assert not store._promised


def test_a_failed_load_is_told_to_everybody_and_tried_again():
    store, failures, go = Store(100), [], threading.Event()

    def find(asked: Ref) -> Found:
        def load():
            assert go.wait(10)
            if not failures:
                failures.append(1)
                raise ExplorerError("The model", "it is damaged", "Make it again")
            return SimpleNamespace(bytes=1)

        return Found(1, load)

    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(store.get, ref("a"), find) for _ in range(8)]
        time.sleep(0.1)
        go.set()
        for one in asked:
            with pytest.raises(ExplorerError, match="damaged"):
                one.result(10)
    assert store.held() == []
    assert store.get(ref("a"), find).bytes == 1


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")]
)
def test_out_of_memory_drops_every_other_model_and_tries_once_more(error):
    shelf, store, tries = Shelf(), Store(100), []
    store.get(ref("50"), shelf.find)

    def load():
        tries.append(store.held())
        if len(tries) == 1:
            raise error
        return SimpleNamespace(bytes=1)

    assert store.get(ref("1"), lambda asked: Found(1, load)).bytes == 1
    assert tries == [[("zoo:50", 50)], []]


def test_what_would_not_fit_into_the_memory_that_is_left_is_refused_before_it_is_tried(monkeypatch):
    tried = []
    store = Store(10**9)
    store.get(ref("a"), lambda asked: Found(1, lambda: SimpleNamespace(bytes=1)))
    monkeypatch.setattr("explorer.zoo.store.room", lambda: 50 * 2**20)
    with pytest.raises(ExplorerError, match="it takes 60 MB, and 50 MB of memory are left here"):
        store.get(ref("b"), lambda asked: Found(60 * 2**20, lambda: tried.append(1)))
    assert not tried
    assert store.get(ref("c"), lambda asked: Found(10, lambda: SimpleNamespace(bytes=10))).bytes == 10


def test_out_of_memory_twice_is_a_sentence():
    def load():
        raise MemoryError

    with pytest.raises(ExplorerError, match="there is not enough memory for it"):
        Store(100).get(ref("1"), lambda asked: Found(1, load))


def test_a_bug_stays_a_bug():
    def load():
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        Store(100).get(ref("1"), lambda asked: Found(1, load))


def test_a_load_that_was_broken_off_is_nobody_elses_business():
    class Gone(BaseException):
        """As Streamlit ends a script whose page has moved on."""

    shelf, store, loading, go = Shelf(), Store(100), threading.Event(), threading.Event()

    def broken(ref: Ref) -> Found:
        loading.set()
        assert go.wait(10)
        raise Gone

    def first() -> str:
        try:
            store.get(ref("10"), broken)
        except Gone:
            return "gone"

    with ThreadPoolExecutor() as pool:
        gone = pool.submit(first)
        assert loading.wait(10)
        others = [pool.submit(store.get, ref("10"), shelf.find) for _ in range(2)]
        go.set()
        assert gone.result(10) == "gone"
        assert others[0].result(10) is others[1].result(10)
    assert shelf.loads == ["10"]
