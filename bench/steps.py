"""The report on steps: every rule against the floor, Adam against peers, and what a call costs."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
from benchmarks.workloads import EVERY_RULE, bytes_moved, step_out, vectors
from measure import Measured, in_child, memory, repeated, side_by_side
from tables import DETAIL, LABEL, RATIO, SECONDS, VALUE
from threadpoolctl import threadpool_limits

import lrcore
from lrcore import _core

ADAM = lrcore.Adam(lr=1e-3)


def floor_calls(rule, size, g):
    """Return loops over as many vectors as a step of the rule reads and writes: alone, and after
    another look at the gradient, which the check for NaN takes."""
    touch, look = _core.kernels.read_modify_write["float"], _core.kernels.first_nonfinite
    states = np.ones((len(rule.formula.state), size), np.float32)
    written = np.ones((1, size), np.float32)
    if not rule.uses_distance:  # otherwise the state is only read, and parameters once more
        written, states = np.ones((1 + len(states), size), np.float32), states[:0]

    def floor(n):
        for each in (*states, *written[:1][: len(states)]):
            look["float"](each, n)
        touch(written, n, g)

    def checked(n):
        look["float"](g, n)
        floor(n)

    return floor, checked


def rule_calls(name, size, counts):
    """Return the calls for a row of the table of rules, and how often each is repeated."""
    rule = EVERY_RULE[name]
    w, g = vectors(size)
    calls, repeat = {}, max(1, 200_000 // size)
    floor, checked = floor_calls(rule, size, g)
    formula = rule.formula
    state = np.ones((len(formula.state), size), np.float32)
    row = rule.coefficients(np.array([5]))[0]
    named = formula.row(row, np.float32)
    if not rule.uses_distance:  # otherwise the formula is only a part of the rule
        calls["formula"] = repeated(lambda: formula.update(named, w, g, *state), repeat)
    out = step_out(name)
    if out:
        tmp = np.empty((2, size), np.float32)
        calls["out"] = repeated(lambda: out(w, g, state, 5, tmp), repeat)
    index = _core.kernels.RULES[formula.__name__][0]
    step = _core.kernels.step["float"]
    own_w, own_state = w.copy(), state.copy()
    optimizer = lrcore.Optimizer(w.copy(), rule)
    for n in counts:
        calls[f"floor {n}"] = repeated(partial(floor, n), repeat)
        calls[f"kernel {n}"] = repeated(
            lambda n=n: step(index, row, own_w, g, own_state, n), repeat
        )
        calls[f"checked floor {n}"] = repeated(partial(checked, n), repeat)
        calls[f"step {n}"] = repeated(lambda n=n: optimizer.step(g, n_threads=n), repeat)
    return calls, repeat


def report_rules(section, sizes, counts, rounds):
    """Compare every rule with NumPy and with the bandwidth of the machine."""
    table = section.table(
        "Every rule",
        {
            "rule": LABEL, "size": LABEL, "x NumPy": RATIO, "x NumPy out=": RATIO,
            **{f"{what}/floor {n}T": RATIO for n in counts for what in ("kernel", "step")},
            **{f"{what} {n}T": SECONDS for n in counts for what in ("step", "floor")},
            "NumPy": SECONDS, "NumPy out=": SECONDS,
        },
        "x NumPy: the time of the formula in NumPy over that of the step with the best number of "
        "threads; out=: NumPy with an array for each result, so that nothing is allocated. The "
        "floor is a loop that reads and writes as many vectors on the same threads; kernel/floor "
        "is the share of its bandwidth that the rule reaches. step is the whole "
        "Optimizer.step, whose check of the gradient reads it once more; its floor includes this.",
    )  # fmt: skip
    for size in sizes:
        for name in EVERY_RULE:
            calls, repeat = rule_calls(name, size, counts)
            t = side_by_side(calls, rounds if size > 100_000 else 4 * rounds)
            t = {what: seconds / repeat for what, seconds in t.items()}
            best = min(t[f"step {n}"] for n in counts)
            by_numpy = [t.get("formula"), t.get("out")]
            shares, times = [], []
            for n in counts:
                shares += [t[f"floor {n}"] / t[f"kernel {n}"]]
                shares += [t[f"checked floor {n}"] / t[f"step {n}"]]
                times += [t[f"step {n}"], t[f"checked floor {n}"]]
            fast = [seconds and seconds / best for seconds in by_numpy]
            table.add(name, size, *fast, *shares, *times, *by_numpy)


def report_sizes(section, exponents, counts, rounds):
    """Compare every rule with its floor at powers of two, where vectors may begin alike in their
    pages, and a little past them."""
    table = section.table(
        "Every rule at powers of two",
        {
            "rule": LABEL, "size": LABEL, **{f"step/floor {n}T": RATIO for n in counts},
            **{f"{what} {n}T": SECONDS for n in counts for what in ("step", "floor")},
            "bytes": DETAIL,
        },
        "bytes: that a step has to move for each parameter, with the check of its gradient. The "
        "floor is a loop that reads and writes as many vectors, after a loop over the gradient.",
    )  # fmt: skip
    for name, rule in EVERY_RULE.items():
        for size in (2**e + more for e in exponents for more in (0, 1000)):
            w, g = vectors(size)
            repeat = max(1, 100_000 // size)
            # DoG would go ever further along the same gradient.
            still = rule.with_lr(0.0) if rule.uses_distance else rule
            optimizer, (_, checked) = lrcore.Optimizer(w, still), floor_calls(rule, size, g)
            calls = {}
            for n in counts:
                calls["step", n] = repeated(partial(optimizer.step, g, n_threads=n), repeat)
                calls["floor", n] = repeated(partial(checked, n), repeat)
            t = side_by_side(calls, rounds if size > 1 << 20 else 4 * rounds)
            shares = [t["floor", n] / t["step", n] for n in counts]
            times = [t[what, n] / repeat for n in counts for what in ("step", "floor")]
            table.add(name, size, *shares, *times, bytes_moved(rule) + 4)


def report_peers(section, sizes, counts, rounds, peers):
    """Compare Adam with other libraries."""
    section.take_part(peers)
    table = section.table(
        "Adam: peer's time over ours",
        {
            "size": LABEL, "threads": LABEL, "checked": RATIO, **dict.fromkeys(peers.here, RATIO),
            "ours": SECONDS, **{f"{name} takes": SECONDS for name in peers.here},
        },
        "ours: Optimizer.step with nonfinite='propagate', since none of the others checks the "
        "gradient before it steps; checked: the time of the default, which does, over ours.",
    )  # fmt: skip
    for size in sizes:
        for n in counts:
            w, g = vectors(size)
            repeat = max(1, 200_000 // size)
            ours, checked = (
                lrcore.Optimizer(w.copy(), ADAM, n_threads=n, nonfinite=policy)
                for policy in ("propagate", "raise")
            )
            calls = {
                "ours": repeated(partial(ours.step, g), repeat),
                "checked": repeated(partial(checked.step, g), repeat),
            }
            for name, (make, counted) in peers.here.items():
                if counted or n == max(counts):
                    calls[name] = repeated(make(w.copy(), g, n), repeat)
            with threadpool_limits(n):
                t = side_by_side(calls, rounds if size > 100_000 else 4 * rounds)
            t = {name: seconds / repeat for name, seconds in t.items()}
            theirs = [t.get(name) for name in peers.here]
            ratios = [seconds and seconds / t["ours"] for seconds in theirs]
            table.add(size, n, t["checked"] / t["ours"], *ratios, t["ours"], *theirs)


def report_call(section):
    """Time a step of few parameters, and the call alone."""
    w, g = vectors(1000)
    row, state = ADAM.coefficients(np.array([5]))[0], np.ones((2, 1000), np.float32)
    index, step = _core.kernels.RULES["AdamFormula"][0], _core.kernels.step["float"]
    optimizer, named = lrcore.Optimizer(w.copy(), ADAM), lrcore.Optimizer({"w": w.copy()}, ADAM)
    grads, own = {"w": g}, w.copy()
    empty, nothing = lrcore.Optimizer(np.ones(1, np.float32), ADAM), np.ones(1, np.float32)
    many = [np.ones(100, np.float32) for _ in range(10_000)]
    listed, one = lrcore.Optimizer(many, ADAM), lrcore.Optimizer(np.ones(10**6, np.float32), ADAM)
    some, whole = [each.copy() for each in many], np.ones(10**6, np.float32)
    few = {
        "a step of 1,000 parameters": lambda: optimizer.step(g),
        "with the parameters in a dict": lambda: named.step(grads),
        "the call without work": lambda: empty.step(nothing),
        "the kernel alone": lambda: step(index, row, own, g, state, 1),
    }
    t = side_by_side(
        {
            **{name: repeated(call, 1000) for name, call in few.items()},
            "a step of 10,000 arrays of 100": lambda: listed.step(some),
            "a step of one array of that size": lambda: one.step(whole),
        },
        25,
    )
    table = section.table(
        "What a call costs", {"Adam": LABEL, "over the first": RATIO, "time": SECONDS}
    )
    names = list(t)
    for name, seconds in t.items():
        base = names[0] if name in few else names[-1]
        table.add(name, seconds / t[base], seconds / (1000 if name in few else 1))


def report_low(section, size, counts, rounds):
    """Compare states as bfloat16 and in 8 bits with float32."""
    kinds = ("bfloat16", "int8")
    table = section.table(
        "Times as fast as with float32 states",
        {
            "rule": LABEL, "size": LABEL,
            **{f"{kind} {n}T": RATIO for kind in kinds for n in counts},
            **{f"{kind} {n}T takes": SECONDS for kind in kinds for n in counts},
        },
    )  # fmt: skip
    _, g = vectors(size)
    for name in ("Adam", "RMSProp", "AdaGrad", "Lion"):
        rule = EVERY_RULE[name]
        known = (None, *kinds) if rule.formula.slow else (None, "int8")
        optimizers = {
            kind: lrcore.Optimizer(
                np.zeros(size, np.float32), rule, state_dtype=kind, nonfinite="propagate"
            )
            for kind in known
        }
        calls = {
            (kind, n): partial(each.step, g, n_threads=n)
            for n in counts
            for kind, each in optimizers.items()
        }
        t = side_by_side(calls, 2 * rounds)
        cells = [(t.get((kind, n)), t[None, n]) for kind in kinds for n in counts]
        ratios = [low and wide / low for low, wide in cells]
        table.add(name, size, *ratios, *(low for low, _ in cells))


def report_small_numbers(section, size):
    """Time steps while a mean square decays through the numbers below the normal range."""
    table = section.table(
        "Time of 300 steps over that with ordinary numbers",
        {
            "rule": LABEL, "size": LABEL, "decaying": RATIO, "tiny gradients": RATIO,
            "decaying takes": SECONDS, "tiny gradients take": SECONDS,
        },
    )  # fmt: skip
    for name in ("Adam", "RMSProp", "AdaDelta"):
        rule, found = EVERY_RULE[name], []
        for g in (0.0, 1e-21):
            times = {True: [], False: []}
            for small in (False, True) * 5:
                w = np.ones(size, np.float32)
                optimizer = lrcore.Optimizer(w, rule, n_threads=1)
                optimizer.step(np.full(size, 1e-18 if small else 1.0, np.float32))
                grad = np.full(size, g if small else 0.5, np.float32)
                start = time.perf_counter()
                for _ in range(300):
                    optimizer.step(grad)
                times[small].append(time.perf_counter() - start)
            found.append((Measured(times[True]), Measured(times[False])))
        ratios = [small / usual for small, usual in found]
        table.add(name, size, *ratios, *(small for small, _ in found))


def grown(size, new, options):
    """Return by how many bytes the peak of memory grows during steps; run in a fresh process."""
    w, g = np.ones(size, np.float32), np.ones(size, np.float32)
    optimizer = lrcore.Optimizer(w, ADAM, **new)
    _, before = memory()
    for _ in range(3):
        optimizer.step(g, **options)
    _, after = memory()
    return after - before


def report_memory(section, size):
    """Report by how much the peak of memory grows after parameters and states are allocated."""
    table = section.table(
        "Peak memory beyond parameters, gradient and state",
        {"Adam": LABEL, "size": LABEL, "share of the parameters": VALUE},
    )
    for name, new, options in (
        ("a step", {}, {}),
        ("with clipping by norm", {}, {"clip_norm": 1.0}),
        ("with averages", {"ema": 0.9}, {"clip_value": 0.5}),
    ):
        table.add(name, size, in_child(grown, size, new, options) / (4 * size))
