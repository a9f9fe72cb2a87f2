import platform
import subprocess
import sys

import pytest

FAULTS_OF_TEN_TENSORS = """
import resource, sys
import numpy as np
from aqa_cache.machine.heap import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()
np.ones(2**23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(2**23)  # 64 MiB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_freed_memory_is_used_again_without_asking_the_system():
    faults = {
        way: int(subprocess.check_output([sys.executable, "-c", FAULTS_OF_TEN_TENSORS, way]))
        for way in ("kept", "given back")
    }
    assert faults["kept"] < 0.1 * faults["given back"]
