"""When torch is imported, and what is said where it is missing."""

import subprocess
import sys


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_lrcore_imports_torch_for_its_own_door_only():
    assert run("import sys, lrcore; print('torch' in sys.modules)").stdout == "False\n"


def test_a_missing_torch_is_named():
    without = "import sys; sys.modules['torch'] = None; import lrcore"
    for use in ("import lrcore.torch", "lrcore.torch.Adam"):
        error = run(f"{without}; {use}").stderr.splitlines()[-1]
        assert error == "ImportError: lrcore.torch needs PyTorch: pip install torch"
