"""Of a long run the live curves get about a thousand records, and every validation."""

from explorer.ui.training.run import few


def test_a_long_history_is_thinned_and_keeps_its_end_and_every_validation():
    history = [{"step": n, "loss": 1.0} | ({"validation_loss": 2.0} if n % 500 == 3 else {}) for n in range(9001)]
    kept = few(history)
    assert 1000 <= len(kept) <= 1100
    assert kept[-1] is history[-1]
    assert [one for one in kept if "validation_loss" in one] == [one for one in history if "validation_loss" in one]
    assert few(history[:1500]) == history[:1500]
