"""The commands: one file each, thin over `aqa_cache` and `aqa_heads`."""

import os

# Large tensors are allocated anew in every batch and step (134 MB of gradients for fc6 on C3D features);
# without huge pages that is tens of thousands of page faults each time. torch reads this at its first
# allocation, so it is set before torch is imported.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

# Compute threads wait for each other many times in every layer and step, by default spinning for long: beside
# other work each then takes from the rest the core that they wait for. The less they spin the better there,
# and the longer the better on a quiet machine: this is a middle (LOG.md). OpenMP reads this when torch is
# imported, so it is set before; not where the user has said how threads shall wait.
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = "3000"
