# The core compiled for x86-64-v4.
include "kernels.pxi"
