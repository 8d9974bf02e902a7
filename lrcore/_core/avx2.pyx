# The core compiled for x86-64-v3.
include "kernels.pxi"
