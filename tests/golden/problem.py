"""The problem of the golden trajectories: a curved valley in six dimensions, in plain arithmetic.

No exp and no sin, whose last bits differ between machines: the gradient is a cubic.
"""

import numpy as np

N_STEPS = 200
A = np.array(
    [
        [4.0, 1.0, 0.0, -0.5, 0.0, 0.2],
        [1.0, 3.0, 0.7, 0.0, 0.0, 0.0],
        [0.0, 0.7, 0.5, 0.1, 0.0, 0.0],
        [-0.5, 0.0, 0.1, 2.0, 0.3, 0.0],
        [0.0, 0.0, 0.0, 0.3, 0.05, 0.0],
        [0.2, 0.0, 0.0, 0.0, 0.0, 1.0],
    ]
)
B = np.array([1.0, -2.0, 0.5, 0.0, 0.1, -0.3])
START = np.array([1.5, -0.8, 2.0, 0.3, -1.2, 0.0])


def gradient(w, t):
    """The gradient at w in step t; its size changes from step to step, as on mini-batches."""
    return (A @ w - B + 0.1 * w**3) * (1.0 + 0.5 * ((t * 7) % 5 - 2))


#: What is recorded: the weights after each of these numbers of steps.
KEPT = (1, 2, 3, 5, 10, 20, 50, 100, 150, 200)
