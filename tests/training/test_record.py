"""What a run leaves behind, and how it is looked at: python -m pytest tests/training/test_record.py"""

import dataclasses
import errno
import math
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from sklearn.metrics import confusion_matrix

from explorer import data, jobs, models, runs, training, zoo
from explorer.errors import ExplorerError
from explorer.runs import files
from explorer.training import TrainConfig, evaluate, read
from explorer.training.frames import Frames, plan, recorded, thinned, watchable
from explorer.training.launch import halved
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


def test_a_stopped_run_keeps_what_it_learned_and_is_tried_when_somebody_looks():
    run = training.fit(TINY)
    for path in (*run.folder.glob("*"), *run.folder.glob("checkpoints/*")):
        path.unlink() if path.is_file() else None
    seen = []
    outcome = record(TINY, run.folder, on_step=seen.append, stopping=lambda: len(seen) > 4)
    stopped = read(run.folder, run.ref)
    assert outcome.state == stopped.state == "stopped"
    assert outcome.steps == 4 == stopped.checkpoints[-1]
    assert set(stopped.metrics) == {"validation accuracy", "validation loss"}
    assert not (run.folder / "predictions.safetensors").exists()
    assert evaluate(stopped, 4).probabilities.shape == (len(data.load("digits", "test")), 10)


def test_a_stop_while_the_checkpoints_are_tried_keeps_the_finished_run_and_its_best_result(tmp_path):
    seen = []
    outcome = record(TINY, tmp_path, on_step=seen.append, stopping=lambda: len(seen) > 27)  # 27 steps, and step 0
    assert len(seen) == 28
    assert outcome.state == "finished"
    assert outcome.metrics["test accuracy"] > 0.3
    predictions = load_file(tmp_path / "predictions.safetensors")
    assert list(predictions) == [f"{outcome.best:08d}"]


def test_a_worker_that_is_killed_while_it_tries_the_checkpoints_leaves_a_finished_run(tmp_path, monkeypatch):
    monkeypatch.setattr("explorer.training.scoring.probabilities", lambda model, name, batches: 1 / 0)
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


# ---- put down, and taken up again ----


def test_a_run_that_was_put_down_goes_on_in_its_folder_as_if_it_had_never_stopped(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = record(TINY, whole)
    assert record(TINY, parts, stopping=lambda: True).steps == 0
    assert read(parts, "run:x").resumable
    assert record(TINY, parts, most=5).steps == 5
    paused = read(parts, "run:x")
    assert (paused.state, paused.resumable) == ("stopped", True)
    assert record(TINY, parts, most=1).steps == 6
    assert record(TINY, parts, stopping=lambda: len(files.history(parts)) > 12).state == "stopped"
    outcome = record(TINY, parts)
    assert outcome.state == "finished"
    assert outcome.best == expected.best
    assert outcome.metrics == expected.metrics
    kept, straight = files.history(parts), files.history(whole)
    assert [line["step"] for line in kept] == [line["step"] for line in straight]
    assert [line.get("loss") for line in kept] == [line.get("loss") for line in straight]
    assert set(files.checkpoints(whole)) <= set(files.checkpoints(parts))
    assert not read(parts, "run:x").resumable


def test_a_killed_worker_loses_no_more_than_what_came_after_the_last_checkpoint(tmp_path):
    class Killed(BaseException):
        pass

    def kill(step):
        if step.step == 20:
            raise Killed

    with pytest.raises(Killed):
        record(TINY, tmp_path, on_step=kill)
    grow_old(tmp_path)
    broken = read(tmp_path, "run:x")
    assert broken.state == "interrupted"
    assert broken.resumable
    record(TINY, tmp_path)
    history = files.history(tmp_path)
    assert [line["step"] for line in history] == list(range(28))
    straight = files.history(training.fit(TINY).folder)
    assert [line.get("loss") for line in history] == [line.get("loss") for line in straight]


def test_where_numbers_are_fetched_late_what_is_kept_is_still_of_its_step(tmp_path, monkeypatch):
    """As on a GPU, whose numbers are fetched ten steps at a time."""
    from explorer.training import loop

    points = TrainConfig("points", "mlp", epochs=4, model_settings={"width": 5}, dataset_settings={"count": 400})
    straight = {}
    record(points, tmp_path / "straight")
    straight["frames"], straight["history"] = recorded(tmp_path / "straight"), files.history(tmp_path / "straight")
    monkeypatch.setattr(loop, "_ahead", lambda device: loop.GPU_FLUSH)
    late, total = tmp_path / "late", straight["history"][-1]["step"]
    for most in (7, 1, 1, 5):
        before = files.history(late)[-1]["step"] if (late / "history.jsonl").exists() else 0
        assert record(points, late, most=most).steps == before + most
    assert record(points, late, stopping=lambda: len(files.history(late)) > 14 and True).state == "stopped"
    assert record(points, late).steps == total
    history = files.history(late)
    assert [line.get("loss") for line in history] == [line.get("loss") for line in straight["history"]]
    frames = recorded(late)
    shared = np.isin(straight["frames"].steps, frames.steps)
    assert shared.all()
    where = np.searchsorted(np.sort(frames.steps), straight["frames"].steps)
    np.testing.assert_array_equal(frames.weights[np.argsort(frames.steps)][where], straight["frames"].weights)
    for step in files.checkpoints(tmp_path / "straight"):
        ours, theirs = (load_file(files.checkpoint(tmp_path / name, step)) for name in ("late", "straight"))
        assert all(np.array_equal(ours[key], theirs[key]) for key in theirs)


def test_a_step_whose_loss_is_no_number_ends_the_run_even_where_it_was_to_pause_there(tmp_path):
    config = dataclasses.replace(TINY, optimizer="sgd", lr=10.0, clip_norm=0.0, weight_decay=1.0, warmup=0.0, epochs=9)
    broke = record(config, tmp_path / "whole").steps
    assert record(config, tmp_path / "paused", most=broke).state == "diverged"
    assert not (tmp_path / "paused" / files.PUT_DOWN).exists()


def test_without_memory_a_run_is_put_down_and_goes_on_in_half_batches(monkeypatch):
    from explorer.training import loop

    inner = loop._gradient

    def narrow(learner, *rest):
        if learner.step >= 4 and learner.config.batch_size > 64:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return inner(learner, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_gradient", narrow)
        run = training.fit(TINY)
    assert run.state == "exhausted"
    assert run.resumable
    assert "Take half the batch" in run.error
    assert run.history[-1]["step"] == 4
    half = halved(run.config)
    assert (half.batch_size, half.accumulate, half.batch) == (64, 2, TINY.batch)
    outcome = record(half, run.folder)
    assert outcome.state == "finished"
    straight = files.history(training.fit(TINY).folder)
    losses = [line["loss"] for line in files.history(run.folder)[1:]]
    np.testing.assert_allclose(losses, [line["loss"] for line in straight[1:]], rtol=1e-3)
    with pytest.raises(ExplorerError, match="can't be made smaller"):
        halved(dataclasses.replace(TINY, batch_size=1))


def test_the_most_that_a_gpu_held_is_that_of_this_run(monkeypatch, tmp_path):
    from explorer.training import learner

    def reset(device):
        raise InterruptedError(device)

    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)
    record(TINY, tmp_path / "cpu", most=1)
    monkeypatch.setattr(learner, "prepare", lambda config, device: None)  # there is no GPU here
    with pytest.raises(InterruptedError, match="cuda"):
        record(TINY, tmp_path / "gpu", "cuda")


def test_a_run_that_stopped_early_says_so():
    config = dataclasses.replace(TINY, epochs=60, lr=0.3, early_stopping=2, warmup=0.0, schedule="constant")
    run = training.fit(config)
    assert run.state == "finished"
    assert "Stopped early" in run.notes[0]
    assert run.history[-1]["step"] == run.checkpoints[-1] or run.best in run.checkpoints


def test_only_the_owner_takes_up_a_run_and_only_one_that_can_go_on(monkeypatch):
    sent = []

    def unknown(id):
        raise ExplorerError("The job", "there is none", "Start one")

    engine = SimpleNamespace(submit=lambda task, request, **job: sent.append(request), status=unknown)
    monkeypatch.setattr(jobs, "engine", lambda: engine)
    run = training.fit(TINY)
    id = run.ref.removeprefix("run:")
    with pytest.raises(ExplorerError, match="it has finished"):
        training.resume(id)
    record(TINY, run.folder, most=3)
    with pytest.raises(ExplorerError, match="somebody else's"):
        training.resume(id, "stranger")
    monkeypatch.setattr(jobs, "engine", lambda: SimpleNamespace(status=lambda id: SimpleNamespace(over=False)))
    with pytest.raises(ExplorerError, match="going on already"):
        training.resume(id)
    monkeypatch.setattr(jobs, "engine", lambda: engine)
    training.resume(id, most=1, halve=True)
    assert sent[0]["most"] == 1
    assert sent[0]["config"]["batch_size"] == 64
    assert runs.get(id).state == "running"
    assert "2 batches of 64" in read(run.folder, run.ref).notes[0]


def test_few_weights_are_kept_where_few_are_asked_and_the_best_alone_is_tried(tmp_path):
    outcome = record(TINY, tmp_path, keep=2)
    run = read(tmp_path, "run:x")
    assert set(run.checkpoints) == {0, run.best, outcome.steps}
    assert list(load_file(tmp_path / "predictions.safetensors")) == [f"{run.best:08d}"]
    assert outcome.metrics["test accuracy"] > 0.3


# ---- frames ----


def test_a_small_perceptron_of_points_is_recorded_so_that_its_answers_follow_from_its_frames(tmp_path):
    settings = {"width": 5, "depth": 2, "activation": "tanh", "norm": "batch"}
    config = TrainConfig("points", "mlp", epochs=4, model_settings=settings, dataset_settings={"count": 200})
    seen = []
    outcome = record(config, tmp_path, on_frame=seen.append)
    frames, layers = recorded(tmp_path), plan(config, 2)
    assert frames.steps[0] == 0
    assert frames.steps[-1] == outcome.steps
    np.testing.assert_array_equal(np.array(seen), frames.weights)
    x = data.load("points", "test", count=200).x[:50]
    model = models.build("mlp", (2,), 2, **settings)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in load_file(
        files.checkpoint(tmp_path, outcome.steps)).items()})  # fmt: skip
    with torch.inference_mode():
        expected = model.eval()(torch.from_numpy(x.copy())).numpy()
    np.testing.assert_allclose(by_hand(layers, frames.weights[-1], x), expected, atol=1e-5)
    assert not watchable(dataclasses.replace(config, model_settings={"width": 64}), "points")
    assert not watchable(TrainConfig(), "image")


def by_hand(layers, weights, x):
    """What the browser computes, in NumPy."""
    at = 0

    def take(*shape):
        nonlocal at
        size = math.prod(shape)
        at += size
        return weights[at - size : at].reshape(shape)

    for layer in layers:
        x = x @ take(layer.units, layer.inputs).T + take(layer.units)
        if layer.norm == "batch":
            scale, shift, mean, variance = (take(layer.units) for _ in range(4))
            x = (x - mean) / np.sqrt(variance + 1e-5) * scale + shift
        x = np.tanh(x) if layer.activation == "tanh" else x
    assert at == len(weights)
    return x


def test_a_recording_is_thinned_to_what_a_browser_can_take():
    many = Frames(np.arange(1000), np.zeros((1000, 2000), np.float32))
    few = thinned(many)
    assert few.weights.nbytes <= 300_000
    assert (few.steps[0], few.steps[-1]) == (0, 999)
    assert thinned(few).steps is few.steps
