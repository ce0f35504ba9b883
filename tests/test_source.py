"""Scripts are written in several threads at once: python -m pytest tests/test_source.py"""

from concurrent.futures import ThreadPoolExecutor

from explorer import models, source


def test_several_threads_write_the_same():
    def written(_):
        parts = source.Parts()
        for name in ("resnet", "vit", "lenet"):
            parts.add(models.MODELS[name].make)
        return parts.sources, sorted(parts.imports)

    alone = written(0)
    for cached in (source.source_of, source._tree, source._imports):
        cached.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(written, range(24)):
            assert found == alone
