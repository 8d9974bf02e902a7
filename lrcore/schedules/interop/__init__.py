"""Conversion of the schedules of torch, optax, Keras and transformers.

Each function takes the name of a schedule in that library and its arguments, with the defaults of
the library, and returns a schedule with the same rates: tests compare them with values recorded
from the libraries, within 1e-12 of the highest rate. Step 0 is the first update in all of them.
Arguments that lrcore has no schedule for are refused by the names that they have there, such as
three phases of ``OneCycleLR`` that end between two steps. These rates differ:

* torch's ``CosineAnnealingLR`` and transformers' ``cosine``, ``cosine_with_min_lr`` and
  ``cosine_warmup_with_min_lr`` rise again after their last step; here the rate stays at the end.
* torch's ``OneCycleLR`` goes beyond its end at step ``total_steps``, and raises an error after it;
  here the rate stays at the end.
* torch's ``ReduceLROnPlateau`` with a relative threshold counts a worse metric as an improvement
  where metrics are negative, stops at an absolute `min_lr` (here: its ratio to `lr`), and skips
  cuts that change the rate by less than `eps`.
* Keras's ``CosineDecayRestarts`` computes the restarts by logarithms, so that one at a whole step
  may be a step off by rounding. Keras computes cosines in float32, so recorded values agree to
  2e-7.

Two differences are taken into account:

* Keras's ``PiecewiseConstantDecay`` switches after a boundary, at ``t > b``.
* Warmups of transformers and Keras, and of optax with an `init_value` of 0, begin at a rate of 0,
  ``Schedule.warmup`` above it; they become ``Linear(0.0, ...).then(...)``.

optax computes in float32 unless JAX is configured to keep 64 bits.
"""

from lrcore.schedules.interop.keras_readers import from_keras
from lrcore.schedules.interop.optax_readers import from_optax
from lrcore.schedules.interop.torch_readers import from_torch
from lrcore.schedules.interop.transformers_readers import from_transformers

__all__ = ["from_keras", "from_optax", "from_torch", "from_transformers"]
