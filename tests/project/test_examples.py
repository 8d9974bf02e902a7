"""What examples/learning_rates.py claims, held against its numbers and against theory."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import lrcore
from lrcore.schedules import Constant, Cyclic, Linear

SCRIPT = Path(__file__).parents[2] / "examples" / "learning_rates.py"
PICTURES = [
    "1_too_high", "2_too_low", "3_decay", "4_saddle", "5_barrier", "6_plateau", "7_sparse",
]  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The script, run once as a person runs it: its names, and the folder of its pictures."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    folder = tmp_path_factory.mktemp("pictures")
    with matplotlib.rc_context(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(SCRIPT), "--out", str(folder / "new")])
        pyplot.close("all")  # figures of other tests would be saved too
        names = runpy.run_path(str(SCRIPT), run_name="__main__")
    pyplot.close("all")
    return SimpleNamespace(**names, pictures=folder / "new")


def test_there_is_a_picture_of_each_section(ran):
    from matplotlib import image

    assert sorted(path.stem for path in ran.pictures.iterdir()) == PICTURES
    for path in ran.pictures.iterdir():
        ink = image.imread(path)[..., :3].min(axis=-1) < 0.9
        assert ink.shape == (800, 2000)
        assert ink[:, :1000].mean() > 0.01, f"the left half of {path.stem} is empty"
        assert ink[:, 1000:].mean() > 0.01, f"the right half of {path.stem} is empty"
        edges = (ink[0], ink[-1], ink[:, 0], ink[:, -1])
        assert not any(edge.any() for edge in edges), f"{path.stem} is cut off"


def test_gradient_descent_diverges_at_two_over_the_curvature(ran):
    top = np.linalg.eigvalsh(ran.X.T @ ran.X / 400)[-1]
    for lr, grows in ((0.99 * 2 / top, False), (1.01 * 2 / top, True)):
        w = np.zeros(20)
        losses = []
        for _ in range(1000):
            losses.append(np.mean((ran.X @ w - ran.y) ** 2) / 2)
            w -= lr * ran.X.T @ (ran.X @ w - ran.y) / 400
        assert (losses[-1] > 1e10 * losses[0]) == grows
        path = ran.descend(lrcore.SGD(lr=lr), np.zeros(20), ran.gradient, 1000)
        assert (ran.above_minimum(path[-1]) > 1e10 * ran.above_minimum(path[0])) == grows


@pytest.mark.parametrize("name, limit", [
    ("no momentum", 2.0), ("heavy ball", 2 * 1.9), ("Nesterov", 2 * 1.9 / 2.8),
])  # fmt: skip
def test_each_form_has_its_own_limit(ran, name, limit):
    rule, _ = ran.FORMS[name]
    assert lrcore.max_stable_lr(rule, ran.L) * ran.L == pytest.approx(limit)
    assert ran.growth(rule, 0.99, 1000) < 1e-12
    assert ran.growth(rule, 1.01, 1000) > 1e12


def test_a_rate_too_low_takes_so_many_more_steps(ran):
    """Steps by the closed form: what is left along each eigenvector."""
    values, vectors = np.linalg.eigh(ran.X.T @ ran.X / 400)
    start = vectors.T @ np.linalg.lstsq(ran.X, ran.y, rcond=None)[0]
    for share, needed in zip(ran.shares_tried, ran.needed):
        t = np.arange(20_000)[:, None]
        factors = (1 - share * 2 / ran.L * values) ** (2 * t)
        left = factors @ (values * start**2)
        assert needed == np.argmax(left <= 0.01 * left[0])
    assert ran.needed[0] / ran.needed.min() > 500
    (warning,) = ran.caught
    assert warning.category is lrcore.RateWarning
    assert "stagnates" in str(warning.message)
    assert 0.1 < ran.range_test.suggestion < 2 / ran.L
    assert "rises" in ran.range_test.end


def test_decay_beats_every_fixed_rate(ran):
    fixed, falling, averaged = (
        ran.ends[name] for name in ("fixed", "falling to 0", "fixed, averaged")
    )
    assert falling.min() < 0.5 * fixed.min()
    assert averaged.min() < falling.min()
    # The grid goes beyond the best on both sides, and the order is that of the prose.
    assert 0 < fixed.argmin() < falling.argmin() < averaged.argmin() < len(ran.RATES) - 1
    again = ran.one_pass(Linear(ran.RATES[falling.argmin()], steps=2000))
    assert again[-1] == falling.min()


def test_a_fixed_rate_settles_where_theory_says(ran):
    """eta sigma^2 tr(H) / (4 b), with the mean over the last half to have less noise."""
    for rate in (0.05, 0.1, 0.2):
        losses = ran.one_pass(Constant(rate))
        theory = rate * sum(1 / k for k in range(1, 21)) / 40
        assert losses[12:].mean() == pytest.approx(theory, rel=0.25)


def test_restarts_leave_a_saddle(ran):
    constant, restarts, decayed = (
        ran.escaped[name] for name in ("constant", "restarts", "decayed")
    )
    near = ran.offsets <= 3e-3
    assert np.all(constant[near] < restarts[near])
    left_late = np.where(decayed == 0, ran.SADDLE_STEPS, decayed)
    assert np.all(5 * restarts[near] < left_late[near])
    far = ran.offsets >= 0.02
    assert np.array_equal(restarts[far], decayed[far])


def test_what_leaves_a_saddle_is_the_sum_of_the_rates(ran):
    sums = []
    for name, (schedule, _) in ran.escape_rates.items():
        steps = ran.escaped[name][ran.shown]
        sums.append(sum(schedule(t) for t in range(steps)))
    assert max(sums) < 1.05 * min(sums)
    assert min(sums) == pytest.approx(np.log(1e4), rel=0.1)


def test_cycles_cross_a_barrier(ran):
    small, peak, cycles = (walk for walk, _ in ran.walks.values())
    # A hundred times as fine as the widths: the barrier is the highest point between the wells.
    x = np.linspace(-1.5, 1.5, 1000)
    barrier = x[np.argmax(ran.wells(x)[0])]
    assert np.all(small < barrier)
    assert np.all(peak[-1] > barrier)
    assert np.all(cycles[-1] > barrier)
    losses = [ran.wells(walk[-1])[0].mean() for walk in (small, peak, cycles)]
    assert losses[2] < losses[1] - 0.03 < losses[0]
    assert ran.wells(x)[0].min() == pytest.approx(losses[2], abs=0.01)
    exchanged = ran.wells(ran.exchanged[-1], ran.DEPTHS[::-1])[0].mean()
    assert exchanged > ran.wells(-1.5, ran.DEPTHS[::-1])[0] + 0.3, "no magic: the broad one wins"


def test_cycles_below_the_limit_of_the_narrow_well_stay(ran):
    assert np.all(ran.wander(Cyclic(0.05, peak=0.2, up=100)) < -0.5)


def test_slopes_of_the_wells(ran):
    x = np.linspace(-3, 4, 50)
    numeric = (ran.wells(x + 1e-6)[0] - ran.wells(x - 1e-6)[0]) / 2e-6
    assert np.allclose(numeric, ran.wells(x)[1], atol=1e-8)


def test_a_plateau_cuts_the_rate_once_and_the_loss_falls_again(ran):
    from scipy.optimize import minimize

    rates = ran.cut.history_["rate"]
    assert np.unique(rates.round(12)).tolist() == [0.01, 0.1]
    cut_at = int(np.argmax(rates < 0.05))
    assert np.all(rates[cut_at:] < 0.05)
    assert np.all(ran.uncut.history_["rate"] == 0.1)
    found = minimize(ran.objective, np.zeros(20), tol=1e-10)
    assert ran.minimum == pytest.approx(found.fun, rel=1e-8)
    stalled, fallen = ran.excess[ran.uncut], ran.excess[ran.cut]
    assert np.array_equal(stalled[:cut_at], fallen[:cut_at])
    assert fallen[-10:].mean() < 0.02 * stalled[-10:].mean()
    assert stalled[cut_at:].min() > 0.3 * stalled[:cut_at].min()


def test_adagrad_gains_where_rare_words_weigh_more(ran):
    loss = {
        corpus: {name: model.lr_losses_.min() for name, model in models.items()}
        for corpus, models in ran.judged.items()
    }
    gains = [each["SGD"] - each["AdaGrad"] for each in loss.values()]
    assert gains[0] > 0.03
    assert 0 < gains[1] < 0.6 * gains[0]
    assert 0 < gains[2] < 0.2 * gains[0]
    for models in ran.judged.values():
        for model in models.values():
            assert 0 < model.lr_losses_.argmin() < len(ran.GRID) - 1


def test_what_sgd_does_not_learn_is_the_rare(ran):
    rows, _, weights = ran.corpora["rare words weigh more"]
    counts = rows[:20_000].sum(axis=0)
    shares = {}
    for name, model in ran.judged["rare words weigh more"].items():
        some = [(counts >= 5) & (counts < 20), counts >= 1000]
        shares[name] = [np.polyfit(weights[at], model.coef_[0, at], 1)[0] for at in some]
    rare, frequent = np.divide(shares["SGD"], shares["AdaGrad"])
    assert rare < 0.45
    assert frequent > 0.6
