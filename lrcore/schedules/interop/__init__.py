"""What torch, optax, Keras and transformers call by other names, as lrcore's schedules.

Each reader takes that library's name and arguments, with its defaults, and gives the same rates:
tests hold them to values recorded from the libraries, within 1e-12 of the highest rate. Steps are
counted from 0, the first update, in all of them. Where they differ:

* torch's ``CosineAnnealingLR`` and transformers' ``cosine``, ``cosine_with_min_lr`` and
  ``cosine_warmup_with_min_lr`` rise again after their last step, where lrcore's stays at its end.
* torch's ``OneCycleLR`` peaks at ``pct_start * total_steps - 1``, which need not be a whole step;
  here it is the nearest. It ends at step ``total_steps - 1`` and raises after that.
* torch's ``ReduceLROnPlateau`` takes a worse metric for a better one where metrics are negative and
  the threshold is relative, stops at an absolute `min_lr` (here: its share of `lr`), and skips cuts
  below `eps`.
* Keras's ``CosineDecayRestarts`` with a `t_mul` that is no integer restarts between steps, and
  finds restarts by logarithms, so that rounding may put one a step off; here they are at whole
  steps. Keras's cosines are in float32 whatever it is told, so recorded values agree to 2e-7.
* Keras's ``PiecewiseConstantDecay`` switches after a boundary, at ``t > b``; the reader accounts
  for it.
* Warmups of transformers and Keras, and of optax with an `init_value` of 0, begin at a rate of
  0, where ``Schedule.warmup`` begins above; they are read as ``Linear(0.0, ...).then(...)``.

optax computes in float32 unless JAX is told to keep 64 bits.
"""

from lrcore.schedules.interop.keras_readers import from_keras
from lrcore.schedules.interop.optax_readers import from_optax
from lrcore.schedules.interop.torch_readers import from_torch
from lrcore.schedules.interop.transformers_readers import from_transformers

__all__ = ["from_keras", "from_optax", "from_torch", "from_transformers"]
