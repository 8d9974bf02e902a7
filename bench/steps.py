"""The report on steps: every rule against the floor, Adam against peers, and what a call costs."""

from __future__ import annotations

import statistics
import time
from functools import partial

import numpy as np
from benchmarks.workloads import EVERY_RULE, bytes_moved, step_out, vectors
from measure import in_child, memory, repeated, side_by_side

import lrcore
from lrcore import _core

ADAM = lrcore.Adam(lr=1e-3)


def rule_calls(name, size, counts):
    """What takes part in a row of the table of rules."""
    rule = EVERY_RULE[name]
    w, g = vectors(size)
    calls, repeat = {}, max(1, 200_000 // size)
    words = size * bytes_moved(rule) // 8  # a word is read and written
    buffer = np.ones(words, np.float32)
    buffer_checked = np.ones(words + size // 2, np.float32)
    formula = rule.formula
    state = np.ones((len(formula.state), size), np.float32)
    row = rule.coefficients(np.array([5]))[0]
    named = formula.row(row, np.float32)
    calls["formula"] = repeated(lambda: formula.update(named, w, g, *state), repeat)
    out = step_out(name)
    if out:
        tmp = np.empty((2, size), np.float32)
        calls["out"] = repeated(lambda: out(w, g, state, 5, tmp), repeat)
    index = _core.kernels.RULES[formula.__name__][0]
    step, touch = _core.kernels.step["float"], _core.kernels.read_modify_write["float"]
    own_w, own_state = w.copy(), state.copy()
    optimizer = lrcore.Optimizer(w.copy(), rule)
    for n in counts:
        calls[f"floor {n}"] = repeated(lambda n=n: touch(buffer, n), repeat)
        calls[f"kernel {n}"] = repeated(
            lambda n=n: step(index, row, own_w, g, own_state, n), repeat
        )
        calls[f"checked floor {n}"] = repeated(lambda n=n: touch(buffer_checked, n), repeat)
        calls[f"step {n}"] = repeated(lambda n=n: optimizer.step(g, n_threads=n), repeat)
    return calls, repeat


def report_rules(sizes, counts, rounds):
    """Ratios: how much faster than NumPy, and the share of the floor's bandwidth reached."""
    print("Rules: shares of the floor, and times as fast as NumPy")
    head = f"{'rule':<24} {'size':>10} {'us/step':>9}  x NumPy  x NumPy out="
    print(head + "".join(f"  kernel {n}T  step {n}T" for n in counts))
    for size in sizes:
        for name in EVERY_RULE:
            calls, repeat = rule_calls(name, size, counts)
            t = side_by_side(calls, rounds if size > 100_000 else 4 * rounds)
            best = min(t[f"step {n}"] for n in counts)
            out = f"{t['out'] / best:7.1f}" if "out" in t else "      -"
            line = f"{name:<24} {size:>10,} {best / repeat * 1e6:9.1f}  {t['formula'] / best:7.1f}"
            line += f"      {out}"
            for n in counts:
                line += f"  {t[f'floor {n}'] / t[f'kernel {n}']:9.2f}"
                line += f"  {t[f'checked floor {n}'] / t[f'step {n}']:7.2f}"
            print(line, flush=True)
    print(
        "floor: read-modify-write over as many bytes, same threads, same run. step: the whole "
        "Optimizer.step,\nwhose check of the gradient reads it once more; its floor counts that.\n"
    )


def report_peers(sizes, counts, rounds, peers):
    """Adam by others, side by side."""
    from threadpoolctl import threadpool_limits

    print("Adam: peer's time / ours")
    head = f"{'size':>10} threads {'ours us':>9}  checked" + "".join(f"  {p:>11}" for p in peers)
    print(head)
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
            for name, (make, counted) in peers.items():
                if counted or n == max(counts):
                    calls[name] = repeated(make(w.copy(), g, n), repeat)
            with threadpool_limits(n):
                t = side_by_side(calls, rounds if size > 100_000 else 4 * rounds)
            line = f"{size:>10,} {n:>7} {t['ours'] / repeat * 1e6:9.1f}"
            line += f"  {t['checked'] / t['ours']:7.2f}"
            for name in peers:
                line += f"  {t[name] / t['ours']:11.2f}" if name in t else f"  {'-':>11}"
            print(line, flush=True)
    print(
        "ours: Optimizer.step with nonfinite='propagate', since none of the others looks at the "
        "gradient before\nit steps; checked: the default, which does, against it.\n"
    )


def report_call():
    """A step of few parameters, and what of it is the call."""
    w, g = vectors(1000)
    row, state = ADAM.coefficients(np.array([5]))[0], np.ones((2, 1000), np.float32)
    index, step = _core.kernels.RULES["Adam"][0], _core.kernels.step["float"]
    optimizer, named = lrcore.Optimizer(w.copy(), ADAM), lrcore.Optimizer({"w": w.copy()}, ADAM)
    grads, own = {"w": g}, w.copy()
    empty, nothing = lrcore.Optimizer(np.ones(1, np.float32), ADAM), np.ones(1, np.float32)
    many = [np.ones(100, np.float32) for _ in range(10_000)]
    listed, one = lrcore.Optimizer(many, ADAM), lrcore.Optimizer(np.ones(10**6, np.float32), ADAM)
    some, whole = [each.copy() for each in many], np.ones(10**6, np.float32)
    t = side_by_side(
        {
            "alone": repeated(lambda: optimizer.step(g), 1000),
            "dict": repeated(lambda: named.step(grads), 1000),
            "call": repeated(lambda: empty.step(nothing), 1000),
            "kernel": repeated(lambda: step(index, row, own, g, state, 1), 1000),
            "many": lambda: listed.step(some),
            "one": lambda: one.step(whole),
        },
        25,
    )
    print(
        f"Adam, 1,000 parameters: {t['alone'] * 1e3:.2f} us a step, {t['dict'] * 1e3:.2f} in a "
        f"dict, of which the call is {t['call'] * 1e3:.2f}; the kernel alone "
        f"{t['kernel'] * 1e3:.2f}"
    )
    print(
        f"Adam, 10,000 arrays of 100: {t['many'] * 1e3:.2f} ms, {t['many'] / t['one']:.2f} times "
        f"an array of the same size\n"
    )


def report_low(size, counts, rounds):
    """States as bfloat16 against float32."""
    print("States as bfloat16: times as fast as with float32 states")
    _, g = vectors(size)
    for name, rule in (
        ("Adam", ADAM),
        ("RMSProp", lrcore.RMSProp()),
        ("AdaGrad", lrcore.AdaGrad()),
    ):
        line = f"{name:<24} {size:>10,}"
        wide, low = (
            lrcore.Optimizer(np.zeros(size, np.float32), rule, state_dtype=d, nonfinite="propagate")
            for d in (None, "bfloat16")
        )
        for n in counts:
            t = side_by_side(
                {
                    "wide": lambda o=wide, n=n: o.step(g, n_threads=n),
                    "low": lambda o=low, n=n: o.step(g, n_threads=n),
                },
                2 * rounds,
            )
            line += f"   {n}T {t['wide'] / t['low']:.2f}"
        print(line, flush=True)
    print()


def report_small_numbers(size):
    """A mean square that decays through the numbers below the normal range, and past them."""
    print("Below the normal range: time of a step, relative to ordinary numbers")
    for name in ("Adam", "RMSProp", "AdaDelta"):
        rule = EVERY_RULE[name].with_lr(1e-3)
        line = f"{name:<24} {size:>10,}"
        for what, g in (("decaying", 0.0), ("tiny gradients", 1e-21)):
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
            line += (
                f"   {what} {statistics.median(times[True]) / statistics.median(times[False]):.2f}"
            )
        print(line, flush=True)
    print()


def grown(size, new, options):
    """In a process of its own: bytes that memory's peak grows by while steps are taken."""
    w, g = np.ones(size, np.float32), np.ones(size, np.float32)
    optimizer = lrcore.Optimizer(w, ADAM, **new)
    _, before = memory()
    for _ in range(3):
        optimizer.step(g, **options)
    _, after = memory()
    return after - before


def report_memory(size):
    """What the resident memory's peak grows by, once parameters, gradients and states are there."""
    words = []
    for name, new, options in (
        ("a step", {}, {}),
        ("with clipping by norm", {}, {"clip_norm": 1.0}),
        ("with averages", {"ema": 0.9}, {"clip_value": 0.5}),
    ):
        words.append(f"{name} {in_child(grown, size, new, options) / (4 * size):.2%}")
    print(
        f"Peak memory of Adam beyond parameters, gradient and state, {size:,} float32, as a share "
        f"of the parameters:\n  {', '.join(words)}\n"
    )
