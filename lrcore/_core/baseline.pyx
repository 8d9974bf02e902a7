# The core compiled for x86-64-v2, or whatever the processor is.
include "kernels.pxi"
