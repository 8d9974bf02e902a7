"""Rates of every schedule: for a single step, and for many at once, as a fit computes them."""

import numpy as np

import lrcore
from lrcore import schedules

#: The number of steps of the examples.
SPAN = 100
#: One example of each schedule of the registry.
EXAMPLES = [
    schedules.Constant(1.0),
    schedules.Step(1.0, every=25, gamma=0.5),
    schedules.MultiStep(1.0, milestones=(30, 60, 80), gamma=0.4),
    schedules.Exponential(1.0, gamma=0.97),
    schedules.InverseTime(1.0, gamma=0.08),
    schedules.InverseSqrt(1.0, timescale=5),
    schedules.Polynomial(1.0, steps=SPAN, power=2.0),
    schedules.Linear(1.0, steps=SPAN),
    schedules.Cosine(1.0, steps=SPAN),
    schedules.CosineRestarts(1.0, steps=14, multiplier=2.0, gamma=0.8),
    schedules.Cyclic(0.1, peak=1.0, up=12, down=12, mode="triangular2"),
    schedules.OneCycle(1.0, steps=SPAN),
    schedules.WarmupStableDecay(1.0, steps=SPAN, warmup_steps=10, decay_steps=30),
    schedules.Cosine(1.0, steps=85).warmup(15),
    schedules.Linear(1.0, steps=50, end=0.4).then(schedules.Exponential(0.4, 0.95), at=50),
    schedules.Cosine(1.0, steps=SPAN) * schedules.Step(1.0, every=20, gamma=0.7),
    schedules.InverseSqrt(1.0, timescale=5).scale(0.5),
    schedules.InverseTime(1.0, gamma=0.08).clip(0.2, 0.7),
    schedules.Cosine(1.0, steps=SPAN).shift(30),
    schedules.Exponential(1.0, gamma=0.93).repeat(every=33),
]


NAMED = {type(each).__name__: each for each in EXAMPLES}


class Rates:
    params = [list(NAMED), [1, 100_000]]
    param_names = ["schedule", "steps"]

    def setup(self, schedule, steps):
        self.schedule = NAMED[schedule]
        self.t = np.arange(steps) if steps > 1 else 50

    def time_rates(self, schedule, steps):
        self.schedule(self.t)


class ScheduledStep:
    """A step of 1,000 float32 whose rate follows a schedule."""

    params = [list(NAMED)]
    param_names = ["schedule"]

    def setup(self, schedule):
        rule = lrcore.Adam(lr=NAMED[schedule])
        self.optimizer = lrcore.Optimizer(np.ones(1000, np.float32), rule)
        self.g = np.ones(1000, np.float32)

    def time_step(self, schedule):
        self.optimizer.step(self.g)
