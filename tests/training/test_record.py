"""What a run leaves behind, and how it is looked at: python -m pytest tests/training/test_record.py"""

import dataclasses
import errno
import math
import os
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import confusion_matrix

from explorer import data, jobs, runs, training, zoo
from explorer.errors import ExplorerError
from explorer.runs import files
from explorer.training import TrainConfig, evaluate, read
from explorer.training.record import checkpoint_steps, record
from explorer.training.run import Evaluation

TINY = TrainConfig(epochs=3, model="mlp", model_settings={"width": 16, "depth": 1}, batch_size=128)

SMALL = TrainConfig("points", "mlp", dataset_settings={"count": 100})


def grow_old(folder):
    """As if the last line had been written an hour ago."""
    history = folder / "history.jsonl"
    os.utime(history, (history.stat().st_atime, history.stat().st_mtime - 3600))


def test_a_finished_run_can_be_looked_at_at_every_checkpoint(tmp_path):
    seen = []
    outcome = record(TINY, tmp_path, on_step=seen.append)
    run = read(tmp_path, "run:x")
    assert outcome.state == run.state == "finished"
    assert run.config == TINY
    assert [step.step for step in seen] == [line["step"] for line in run.history]
    assert run.checkpoints[0] == 0
    assert run.checkpoints[-1] == outcome.steps
    assert run.best == outcome.best
    accuracies = [evaluate(run, step).accuracy for step in run.checkpoints]
    assert accuracies[0] < 0.3 < accuracies[-1]
    assert evaluate(run, run.best).accuracy == pytest.approx(run.metrics["test accuracy"])


def test_checkpoints_are_about_a_dozen_with_the_first_and_the_last():
    for total in (1, 5, 100, 100_000):
        kept = checkpoint_steps(total)
        assert kept[0] == 0
        assert kept[-1] == total
        assert len(kept) <= 12
        assert kept == sorted(set(kept))
    assert len(checkpoint_steps(100_000)) == 12
    gaps = np.diff(checkpoint_steps(100_000))
    assert list(gaps) == sorted(gaps)


def test_the_zoo_opens_a_run_and_gives_the_recorded_answers():
    run = training.fit(TINY)
    test = data.load("digits", "test")
    for step in (None, run.checkpoints[0], run.checkpoints[-1]):
        model = zoo.load(run.ref if step is None else f"{run.ref}@{step}")
        recorded = evaluate(run, run.best if step is None else step).probabilities
        np.testing.assert_allclose(model.predict(test.x), recorded, atol=2e-3)  # kept in half precision
    assert model.card.parameters == 64 * 16 + 16 + 16 * 10 + 10
    listed = runs.listing("local")[0]
    assert listed.ref == run.ref
    assert listed.metrics["test accuracy"] == pytest.approx(run.metrics["test accuracy"])


def test_a_stopped_run_keeps_what_it_learned(tmp_path):
    seen = []
    outcome = record(TINY, tmp_path, on_step=seen.append, stopping=lambda: len(seen) > 4)
    run = read(tmp_path, "run:x")
    assert outcome.state == run.state == "stopped"
    assert outcome.steps == 4 == run.checkpoints[-1]
    assert evaluate(run, 4).probabilities.shape == (len(data.load("digits", "test")), 10)


def test_a_stop_while_the_checkpoints_are_tried_keeps_the_finished_run_and_its_best_result(tmp_path):
    seen = []
    outcome = record(TINY, tmp_path, on_step=seen.append, stopping=lambda: len(seen) > 27)  # 27 steps, and step 0
    assert len(seen) == 28
    assert outcome.state == "finished"
    assert outcome.metrics["test accuracy"] > 0.3
    predictions = load_file(tmp_path / "predictions.safetensors")
    assert list(predictions) == [f"{outcome.best:08d}"]


def test_a_worker_that_is_killed_while_it_tries_the_checkpoints_leaves_a_finished_run(tmp_path, monkeypatch):
    monkeypatch.setattr("explorer.training.loop.probabilities", lambda learner, batches: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        record(TINY, tmp_path)
    assert read(tmp_path, "run:x").state == "finished"


def test_damaged_predictions_are_made_again():
    run = training.fit(TINY)
    expected = evaluate(run, run.best).probabilities
    path = run.folder / "predictions.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    np.testing.assert_allclose(evaluate(run, run.best).probabilities, expected, atol=2e-3)


def test_a_batch_larger_than_the_data_is_all_of_them():
    run = training.fit(dataclasses.replace(SMALL, batch_size=512, epochs=2))
    assert [step["step"] for step in run.history] == [0, 1, 2]
    assert run.history[-1]["loss"] < run.history[1]["loss"]


def test_start_refused_leaves_no_run_behind(monkeypatch):
    def full(*arguments, **settings):
        raise ExplorerError("A new job", "the queue is full", "Try again")

    monkeypatch.setattr(jobs, "engine", lambda: SimpleNamespace(submit=full))
    with pytest.raises(ExplorerError, match="queue is full"):
        training.start(TINY)
    assert runs.listing("local") == []


def test_a_diverged_run_says_so_and_keeps_its_curve(tmp_path):
    config = dataclasses.replace(TINY, optimizer="sgd", lr=10.0, clip_norm=0.0, weight_decay=1.0, warmup=0.0, epochs=9)
    outcome = record(config, tmp_path)
    run = read(tmp_path, "run:x")
    assert outcome.state == run.state == "diverged"
    assert "Lower the learning rate" in run.error
    assert len(run.history) == outcome.steps + 1
    assert 0 in run.checkpoints
    assert not math.isfinite(run.history[-1]["loss"])
    assert all(math.isfinite(line["loss"]) for line in run.history[1:-1])


def test_a_run_that_broke_off_is_read_as_interrupted_and_tried_on_demand():
    run = training.fit(TINY)
    for name in ("outcome.json", "predictions.safetensors"):
        (run.folder / name).unlink()
    assert read(run.folder, run.ref).state == "running"  # its history has just grown: another process may be at it
    grow_old(run.folder)
    broken = read(run.folder, run.ref)
    assert broken.state == "interrupted"
    assert broken.best == run.best
    np.testing.assert_allclose(
        evaluate(broken, run.best).probabilities, evaluate(run, run.best).probabilities, atol=2e-3
    )


def test_a_checkpoint_that_was_not_kept_is_refused_with_those_that_were(tmp_path):
    record(TINY, tmp_path)
    with pytest.raises(ExplorerError, match=r"Choose one of: 0, 1, "):
        evaluate(read(tmp_path, "run:x"), 13)


def test_a_full_disk_ends_the_run_with_a_sentence_and_keeps_what_was_saved(tmp_path, monkeypatch):
    replace = os.replace

    def full(source, target):
        if "checkpoints" in str(target) and len(files.checkpoints(tmp_path)) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ExplorerError, match="No space left"):
        record(TINY, tmp_path)
    grow_old(tmp_path)
    run = read(tmp_path, "run:x")
    assert run.state == "interrupted"
    assert len(run.checkpoints) == 3
    assert len(run.history) > 3


def test_an_evaluation_counts_and_ranks_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), 50)
    y = rng.integers(0, 3, 50)
    found = Evaluation(("a", "b", "c"), y, probabilities)
    np.testing.assert_array_equal(found.confusion, confusion_matrix(y, found.predicted))
    wrong = found.mistakes(5)
    assert all(found.predicted[wrong] != y[wrong])
    assert list(found.confidence[wrong]) == sorted(found.confidence[found.predicted != y])[::-1][:5]


@pytest.mark.parametrize(
    ("config", "variable", "limit", "words"),
    [
        (TINY, "EXPLORER_EPOCHS", "2", "trains for 2 at the most"),
        (TINY, "EXPLORER_PARAMETERS", "100", "100 at the most"),
    ],
)
def test_what_this_server_does_not_give_is_refused_before_it_starts(config, variable, limit, words, monkeypatch):
    from explorer.settings import settings

    monkeypatch.setenv(variable, limit)
    settings.cache_clear()
    with pytest.raises(ExplorerError, match=words):
        training.fit(config)
    assert runs.listing("local") == []


def test_tiny_batches_get_one_thread(monkeypatch):
    from explorer.training import task

    monkeypatch.setattr(task, "THREADS", 4)
    assert task.threads(TINY) == task.threads(SMALL) == 1
    assert task.threads(TrainConfig("digits", "lenet", batch_size=512)) == 1
    assert task.threads(TrainConfig("shapes", "resnet")) == 4
