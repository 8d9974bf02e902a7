"""Build of the compiled core; everything else about the package is in pyproject.toml.

Switches, read from the environment:

LRCORE_NO_OPENMP=1   build without threads (the bits are the same)
LRCORE_NO_CORE=1     leave the core out, for what needs no build: metadata, a source archive,
                     an editable installation whose core `build_ext --inplace` builds
LRCORE_SANITIZE=address,undefined or thread    with these sanitizers and -O1, for `make sanitize`
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

CORE = Path("lrcore/_core")
# Structs, lists and dispatch of the core, from the classes of the rules, losses and penalties.
if subprocess.run([sys.executable, "-I", str(CORE / "generate.py")], check=False).returncode:
    sys.exit(1)
SOURCES = [str(p) for ending in ("pxi", "pxd", "h") for p in sorted(CORE.rglob(f"*.{ending}"))]
SANITIZE = os.environ.get("LRCORE_SANITIZE", "")
# The processor to build for; in a cross-compilation not this one.
X86 = sysconfig.get_platform().lower().endswith(("x86_64", "amd64"))

# Same bits on every build: no contraction into FMA, no -ffast-math. -fno-math-errno and
# -fno-trapping-math change no result; without the first, gcc vectorises no loop with a sqrt. Flags
# of Python's own ask for debugging information, a quarter of the time to compile.
# Columns that a rule does not have are never read, which gcc cannot see.
UNIX_FLAGS = [
    "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-g0", "-Wno-maybe-uninitialized",
]  # fmt: skip
# -O3 takes two thirds longer to compile than -O2 with the vectoriser's usual judgement of cost (see
# GCC_FLAGS), and gains 3 % in sparse epochs, a tenth in mini-batches, nothing in dense steps. The
# build for old processors is faster with -O1.
# The bindings have no loops that matter.
LEVEL = {"baseline": ["-O1", "-ftree-vectorize"], "bindings": ["-O1", "-ftree-vectorize"]}
ISA_FLAGS = {
    "bindings": ["-march=x86-64-v2"] if X86 else [],
    "parsing": ["-march=x86-64-v2"] if X86 else [],
    "baseline": ["-march=x86-64-v2"] if X86 else [],
    "avx2": ["-march=x86-64-v3"],
    # Vectors of 256 bits here too: with 512, a long Adam step took a third more time on one thread.
    "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=256"],
}
# What there is of the core on every processor.
REQUIRED = ("bindings", "parsing", "baseline")
# gcc stops inlining when a file has grown by so many percent, where a function is large, or where
# it has arrays and its caller has none: then a step is a call for each element, and an update one
# for each eight features, which takes up to ten times as long. And at -O2 it vectorises only what
# is surely cheap, which left sparse epochs a quarter slower. clang knows no such limits, and not
# these flags.
GCC_FLAGS = [
    "--param=inline-unit-growth=400",
    "--param=max-inline-insns-single=1000",
    "--param=large-stack-frame=100000",
    "-fvect-cost-model=dynamic",
]
SANITIZE_FLAGS = [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=undefined", "-g", "-O1"]


def accepts(compiler: list[str], flags: list[str]) -> bool:
    """Whether the C compiler builds and links a small program with these flags."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("int main(void) { return 0; }\n")
        command = [*compiler, *flags, str(source), "-o", str(Path(folder, "probe"))]
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            return False


class BuildCore(build_ext):
    """Adds the flags that this compiler knows, and drops the ISA builds that it cannot make."""

    def finalize_options(self) -> None:
        """One compiler for each processor: pip does not pass such options on."""
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self) -> None:
        if self.compiler.compiler_type == "unix":
            compiler = list(self.compiler.compiler)
            tuned = GCC_FLAGS if accepts(compiler, GCC_FLAGS) else []
            common = [*UNIX_FLAGS, *(SANITIZE_FLAGS if SANITIZE else tuned)]
            threads = [] if os.environ.get("LRCORE_NO_OPENMP") else ["-fopenmp"]
            if threads and not accepts(compiler, threads):
                print(
                    "lrcore: this compiler has no OpenMP; building for one thread", file=sys.stderr
                )
                threads = []
            for extension in list(self.extensions):
                name = extension.name.rpartition(".")[2]
                isa = ISA_FLAGS.get(name, [])
                if isa and not accepts(compiler, isa):
                    if name not in REQUIRED:
                        self.extensions.remove(extension)
                        continue
                    isa = []
                extension.extra_compile_args = (
                    LEVEL.get(name, ["-O2", "-ftree-vectorize"]) + common + threads + isa
                )
                extension.extra_link_args = threads + (SANITIZE_FLAGS[:1] if SANITIZE else [])
        else:
            self.extensions = [e for e in self.extensions if e.name.endswith(("cpu", *REQUIRED))]
        super().build_extensions()


def core(name: str, source: str) -> Extension:
    """The extension lrcore._core.<name>, of this file there."""
    return Extension(
        f"lrcore._core.{name}",
        [str(CORE / source)],
        depends=SOURCES,
        include_dirs=[numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
    )


def renamed(name: str) -> Extension:
    """The C code of the build for old processors under another name, for which Cython would take
    ten seconds again: its entry point, and the name that it registers."""
    text = (
        Path(CORE, "baseline.c")
        .read_text()
        .replace('"lrcore._core.baseline"', f'"lrcore._core.{name}"')
    )
    Path(CORE, f"{name}.c").write_text(f"#define PyInit_baseline PyInit_{name}\n{text}")
    return core(name, f"{name}.c")


extensions = []
if not os.environ.get("LRCORE_NO_CORE"):
    extensions = cythonize(
        [core(name, f"{name}.pyx") for name in ("cpu", *REQUIRED)],
        quiet=True,
        nthreads=2 if sys.platform == "linux" else 0,
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "embedsignature": False,
            # Half of the text that the compiler would have to read.
            "emit_code_comments": False,
            "freethreading_compatible": True,
        },
    )
    if X86:
        extensions += [renamed("avx2"), renamed("avx512")]
setup(ext_modules=extensions, cmdclass={"build_ext": BuildCore})
