"""The kernels of lrcore as optimizers of torch: ``lrcore.torch.Adam(module.parameters())``.

They are the classes of `torch.optim` of the same names, with the same arguments, parameter groups,
states and files of states; only the step is made by lrcore, on the CPU.
"""

try:
    import torch as _torch  # noqa: F401
except ImportError:
    raise ImportError("lrcore.torch needs PyTorch: pip install torch") from None

from lrcore.torch.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    NAdam,
    RAdam,
    RMSprop,
)

# In the order in which pages list them.
__all__ = [  # noqa: RUF022
    "Adam", "AdamW", "SGD", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "Lion",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__
