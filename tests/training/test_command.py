"""The command line, for real: python -m pytest tests/training/test_command.py"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explorer import runs
from explorer.params import params
from explorer.settings import settings
from explorer.training import TrainConfig, read
from explorer.training.__main__ import main

POINTS = ["--dataset", "points", "--model", "mlp", "--data.count", "100", "--epochs", "2"]


def rows(path):
    with Path(path).open() as file:
        return list(csv.DictReader(file))


def test_run_prints_an_epoch_a_line_and_leaves_a_run(capsys):
    assert main(["run", *POINTS, "--lr", "0.02", "--model.width=8", "--nesterov", "--batch-size", "32"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in told if line.startswith("epoch")] == ["0/2", "1/2", "2/2"]
    (run,) = runs.listing()
    config = read(runs.folder(run.id), run.ref).config
    assert (config.lr, config.nesterov, config.batch_size) == (0.02, True, 32)
    assert dict(config.model_settings) == {"width": 8}
    assert dict(config.dataset_settings) == {"count": 100}
    assert f"test accuracy {run.metrics['test accuracy']:.4f}" in told[-2]
    assert run.ref in told[-1]


def test_a_file_gives_what_the_options_do_not(tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"dataset": "points", "model": "mlp", "epochs": 1, "lr": 0.5,
                                "dataset_settings": {"count": 100, "kind": "moons"}}))  # fmt: skip
    assert main(["run", "--config", str(path), "--lr", "0.01", "--data.count", "200"]) == 0
    config = read(runs.folder(runs.listing()[0].id), "run:x").config
    assert (config.epochs, config.lr) == (1, 0.01)
    assert dict(config.dataset_settings) == {"count": 200, "kind": "moons"}


def test_every_lever_has_an_option(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    told = capsys.readouterr().out
    for name in params(TrainConfig):
        assert f"--{name.replace('_', '-')}" in told


def test_compare_has_the_same_numbers_in_the_terminal_the_csv_and_the_runs(tmp_path, capsys):
    path = tmp_path / "table.csv"
    recipes = ["--recipe", "slow:lr=0.001", "--recipe", "fast:lr=0.03,model.width=8", "--recipe", "standard"]
    assert main(["compare", *POINTS, *recipes, "--seeds", "2", "--csv", str(path)]) == 0
    told = capsys.readouterr().out
    found = rows(path)
    assert [row["recipe"] for row in found] == ["slow", "fast", "standard"]
    (folder,) = (settings().data / "races").iterdir()
    kept = json.loads((folder / "runs.json").read_text())
    assert len(kept) == 6
    accuracies = {key: runs.get(id).metrics["test accuracy"] for key, id in kept.items()}
    lines = told.splitlines()
    head = next(index for index, line in enumerate(lines) if line.startswith("recipe"))
    for recipe, row in enumerate(found):
        pair = [accuracies[f"{recipe}-{seed}"] for seed in range(2)]
        assert float(row["accuracy"]) == pytest.approx(np.mean(pair))
        assert float(row["spread"]) == pytest.approx(np.std(pair, ddof=1))
        line = lines[head + 1 + recipe]
        assert f"{100 * np.mean(pair):.1f} ± {100 * np.std(pair, ddof=1):.1f} %" in line
        assert f"{int(row['parameters']):,}" in line
        if recipe:
            difference = np.mean([pair[seed] - accuracies[f"0-{seed}"] for seed in range(2)])
            assert float(row["difference"]) == pytest.approx(difference)
            assert row["verdict"] in line
    assert int(found[1]["parameters"]) < int(found[0]["parameters"])
    assert "the same order of examples" in told
    assert runs.listing() == []  # they belong to the race


def test_a_preset_is_raced_with_other_seeds(capsys, monkeypatch):
    import dataclasses

    from explorer.training import presets, race

    quick = presets.PRESETS["clipping"].make()
    quick = race.Contest(quick.names, tuple(dataclasses.replace(one, epochs=1) for one in quick.configs))
    monkeypatch.setitem(presets.PRESETS._entries, "clipping",
                        dataclasses.replace(presets.PRESETS["clipping"], make=lambda: quick))  # fmt: skip
    assert main(["compare", "--preset", "clipping", "--seeds", "1"]) == 0
    assert "One seed can't tell: no clipping" in capsys.readouterr().out
    assert [row["recipe"] for row in rows(settings().data / "race.csv")] == ["clipped", "no clipping"]


def test_bench_races_both_recipes_on_every_architecture_of_a_folder_of_pictures(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for index in range(20):
            pixels = (level + rng.integers(-30, 30, (32, 32, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{index}.png")
    path = tmp_path / "bench.csv"
    pictures = ["--images", str(tmp_path / "pictures"), "--models", "mlp", "lenet"]
    assert main(["bench", "--quick", "--epochs", "1", *pictures, "--csv", str(path)]) == 0
    found = rows(path)
    assert [(row["model"], row["recipe"]) for row in found] == [
        ("mlp", "standard"), ("mlp", "modern"), ("lenet", "standard"), ("lenet", "modern")
    ]  # fmt: skip
    assert all(0 <= float(row["accuracy"]) <= 1 for row in found)
    assert "One seed can't tell" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["run", *POINTS, "--lr", "99"], "lr: 99 is not between"),
        (["run", *POINTS, "--model.nonsense", "3"], "no setting 'nonsense'"),
        (["run", *POINTS, "--nonsense", "3"], "there is none of that name"),
        (["run", "--config", "/nowhere/config.json"], "it is missing"),
        (["compare", *POINTS, "--recipe", "alone"], "has 1 recipes"),
        (["compare", *POINTS, "--recipe", "a:lr", "--recipe", "b"], "not key=value"),
        (["compare", *POINTS, "--recipe", "a:speed=3", "--recipe", "b"], "no setting 'speed'"),
        (["compare", *POINTS, "--recipe", "a:lr=fast", "--recipe", "b"], "not a number"),
        (["bench", "--dataset", "nonsense"], "none of that name"),
        (["bench", "--models", "mlp", "--epochs", "0"], "epochs: 0 is not between"),
        (["bench", "--models", "mlp", "--quick", "--seeds", "0"], "0 seeds are not between"),
        (["compare", *POINTS, "--recipe", "a", "--recipe", "b", "--seeds", "0"], "0 seeds are not between"),
        (["run", *POINTS, "--epochs", "0"], "epochs: 0 is not between"),
    ],
)
def test_what_can_not_be_done_is_one_line_and_exit_code_2(argv, sentence, capsys):
    assert main(argv) == 2
    told = capsys.readouterr()
    assert sentence in told.err
    assert len(told.err.splitlines()) == 1
    assert told.out == ""


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "it is missing"),
        ("{", "it is damaged"),
        ("[1, 2]", "it holds no object"),
        ('"digits"', "it holds no object"),
        ('{"model": "mlp", "model_settings": 3}', "its model_settings is no object"),
        ('{"dataset_settings": ["kind"]}', "its dataset_settings is no object"),
        ('{"model": ["mlp"]}', "its model is no text"),
        ('{"dataset": null}', "its dataset is no text"),
    ],
)
@pytest.mark.parametrize("command", [["run"], ["compare", "--recipe", "a", "--recipe", "b:lr=0.1"]])
def test_a_file_that_holds_no_settings_is_one_line_that_names_it(command, content, sentence, tmp_path, capsys):
    path = tmp_path / "mine.json"
    if content is not None:
        path.write_text(content)
    assert main([*command, "--config", str(path)]) == 2
    told = capsys.readouterr()
    assert f"The file {path}: {sentence}" in told.err
    assert len(told.err.splitlines()) == 1
    assert told.out == ""


def test_it_is_a_command(tmp_path):
    environment = os.environ | {"EXPLORER_DATA": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "explorer.training", "run", *POINTS, "--epochs", "500"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2
    assert "500 is not between 1 and 200" in ended.stderr
    assert "Traceback" not in ended.stderr
