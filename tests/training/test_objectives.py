"""What a language model is asked: worked out by hand on a few tokens."""

import itertools

import numpy as np
import pytest
import torch

from explorer import data, training
from explorer.data import orders, story
from explorer.data.text import END, IGNORED, MASK, PAD, START
from explorer.store import Store
from explorer.training import objectives
from explorer.training.objectives import Denoising, causal, masked, paired
from explorer.zoo.own import tokenizer
from explorer.zoo.text import TextModel

A, B, C, D = 10, 11, 12, 13
NONE = IGNORED


def test_a_causal_model_is_asked_for_the_next_token_and_padding_is_cut_off():
    x = torch.tensor([[START, A, B, END, PAD, PAD], [START, C, END, PAD, PAD, PAD]])
    y = torch.tensor([[NONE, A, B, END, NONE, NONE], [NONE, C, END, NONE, NONE, NONE]])
    (given,), asked = causal(x, y, torch.Generator())
    assert given.tolist() == [[START, A, B], [START, C, END]]
    assert asked.tolist() == [[A, B, END], [C, END, NONE]]


def test_a_masked_model_is_asked_for_the_answer_where_the_question_is_given():
    x = torch.tensor([[START, A, B, END, PAD]])
    y = torch.tensor([[NONE, NONE, B, END, NONE]])
    (given,), asked = masked(x, y, torch.Generator())
    assert given.tolist() == [[START, A, MASK, END]]
    assert asked.tolist() == [[NONE, NONE, B, NONE]]


def test_a_masked_model_is_asked_for_some_of_all_words_and_never_for_special_ones():
    x = torch.randint(A, 60, (400, 30), generator=torch.Generator().manual_seed(1))
    x[:, 0], x[:, -1] = START, END
    y = x.masked_fill(x == START, NONE)
    (given,), asked = masked(x, y, torch.Generator().manual_seed(0))
    chosen = asked != NONE
    assert torch.equal(asked[chosen], x[chosen])
    assert torch.equal(given[~chosen], x[~chosen])
    assert not chosen[:, [0, -1]].any()
    assert abs(chosen[:, 1:-1].float().mean() - 0.15) < 0.01
    hidden = (given[chosen] == MASK).float().mean()
    shown = (given[chosen] == x[chosen]).float().mean()
    assert abs(hidden - 0.8) < 0.03
    assert abs(shown - 0.1) < 0.03


def test_a_masked_model_is_asked_for_one_word_of_a_text_at_least():
    x = torch.tensor([[START, A, B, C, END]])
    counts = set()
    for seed in range(40):
        _, asked = masked(x, x.masked_fill(x == START, NONE), torch.Generator().manual_seed(seed))
        counts.add(int((asked != NONE).sum()))
        assert not (asked[:, [0, -1]] != NONE).any()
    assert min(counts) == 1
    assert max(counts) > 1


def test_a_masked_model_learns_from_single_texts(monkeypatch):
    from explorer.training.loop import steps

    monkeypatch.setattr(objectives, "MASKED", 0.001)  # what is rare in a text of this length comes at every step
    size = {"width": 16, "depth": 1, "heads": 1}
    config = training.TrainConfig("story", "bert", epochs=1, batch_size=1, model_settings=size)
    assert all(step.loss > 0 for step in itertools.islice(steps(config), 6) if step.step)


def test_a_translator_reads_the_question_and_the_answer_so_far():
    x = torch.tensor([[A, B, END, PAD], [A, END, PAD, PAD]])
    y = torch.tensor([[C, D, END, NONE], [C, END, NONE, NONE]])
    (source, target), asked = paired(x, y, torch.Generator())
    assert source.tolist() == [[A, B, END], [A, END, PAD]]
    assert target.tolist() == [[START, C, D], [START, C, END]]
    assert asked.tolist() == [[C, D, END], [C, END, NONE]]


PLAN = {"num_train_timesteps": 1000, "beta_schedule": "linear", "prediction_type": "epsilon"}


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction", "sample"])
def test_a_denoiser_is_given_what_diffusers_schedulers_give(predicts):
    """The state and the answer are those of DDPMScheduler.add_noise and get_velocity."""
    from diffusers import DDPMScheduler

    x, y = torch.randn(64, 1, 4, 4, generator=torch.Generator().manual_seed(1)), torch.arange(64) % 3
    ask = Denoising(PLAN | {"prediction_type": predicts}, 3, trying=0)
    (state, times, classes), answer = ask(x, y, torch.Generator().manual_seed(0))
    share = ask.shares[times].view(-1, 1, 1, 1)
    noise = (state - share.sqrt() * x) / (1 - share).sqrt()
    plan = DDPMScheduler(beta_schedule="linear")
    torch.testing.assert_close(state, plan.add_noise(x, noise, times), rtol=1e-3, atol=1e-3)
    expected = {"epsilon": noise, "sample": x, "v_prediction": plan.get_velocity(x, noise, times)}[predicts]
    torch.testing.assert_close(answer, expected, rtol=2e-2, atol=2e-2)
    untold = classes == 3
    assert torch.equal(classes[~untold], y[~untold])
    assert 0 < untold.sum() < 20


def test_flow_matching_goes_straight_from_data_to_noise():
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(1))
    ask = Denoising({"num_train_timesteps": 1000, "prediction_type": "flow"}, 1, trying=0)
    (state, times, _), answer = ask(x, torch.zeros(50, dtype=torch.long), torch.Generator().manual_seed(0))
    sigma = times[:, None] / 1000
    torch.testing.assert_close(state - sigma * answer, x, rtol=1e-4, atol=1e-4)
    assert 1 <= times.min() < times.max() <= 1000


def test_a_denoiser_is_tried_evenly_and_alike_every_time():
    x, y = torch.randn(30, 2), torch.zeros(30, dtype=torch.long)
    ask = Denoising(PLAN, 1, trying=30)
    (state, times, classes), _ = ask(x, y, torch.Generator().manual_seed(0))
    again = ask(x, y, torch.Generator().manual_seed(0))[0]
    assert torch.equal(state, again[0])
    assert len(times) >= 1000
    assert abs(times.float().mean() - 499.5) < 1
    assert not classes.any()


def test_a_small_decoder_learns_to_reverse_and_its_run_opens_as_a_language_model(monkeypatch):
    from explorer import zoo

    monkeypatch.setattr(orders, "SIZES", {"train": 512, "validation": 32, "test": 32})
    monkeypatch.setattr(data.base, "_store", Store(lambda: 1e9))
    config = training.TrainConfig(
        "reverse", "gpt", epochs=2, batch_size=64, label_smoothing=0.0,
        model_settings={"width": 16, "depth": 1, "heads": 1}, dataset_settings={"numbers": 3},
    )  # fmt: skip
    run = training.fit(config)
    assert run.state == "finished"
    losses = [step["loss"] for step in run.history if "loss" in step]
    assert losses[-1] < losses[0]
    assert set(run.metrics) == {"test accuracy", "test loss", "validation accuracy", "validation loss"}
    assert len(run.checkpoints) > 3
    model = zoo.load(run.ref)
    assert isinstance(model, TextModel)
    assert (model.kind, model.card.task, model.labels) == ("decoder", "text-generation", orders.WORDS)
    assert model.encode("31 7 50 =").ids == [START, *(orders.WORDS.index(word) for word in ["31", "7", "50", "="])]
    with model.borrow() as net, torch.inference_mode():
        logits = net(**model.encode("31 7 50 =").inputs).logits
    assert logits.shape == (1, 5, len(orders.WORDS))


def test_the_measured_accuracy_is_that_of_the_asked_tokens_alone(monkeypatch):
    from explorer.training.learner import prepare
    from explorer.training.scoring import answers, right

    monkeypatch.setattr(story, "SIZES", {"train": 64, "validation": 16, "test": 16})
    monkeypatch.setattr(data.base, "_store", Store(lambda: 1e9))  # whoever comes after gets the whole story
    learner = prepare(training.TrainConfig("story", "bert", model_settings={"width": 16, "depth": 1, "heads": 1}))
    x, y = next(learner.validation(torch.arange(16), 16))
    batch = masked(x, y, torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits, asked = answers(learner.model, batch)
    by_hand = np.sum((logits.argmax(-1) == asked).numpy()[asked.numpy() != IGNORED])
    assert int(right(logits, asked)) == by_hand


def test_a_folder_without_its_tokenizer_is_refused(tmp_path):
    import pytest

    from explorer.errors import ExplorerError

    with pytest.raises(ExplorerError, match=r"tokenizer\.json"):
        tokenizer(tmp_path / "model.safetensors", "decoder", 8)


def test_networks_of_another_kind_are_refused():
    import pytest

    from explorer.errors import ExplorerError

    with pytest.raises(ExplorerError, match="can't learn story"):
        training.start(training.TrainConfig("story", "mlp"))
    with pytest.raises(ExplorerError, match="can't learn digits"):
        training.start(training.TrainConfig("digits", "gpt"))
    assert data.about("story").task == "text"
