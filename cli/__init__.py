"""The commands: one file each, thin over `aqa_cache` and `aqa_heads`."""

import os

# Large tensors are allocated anew in every batch and step (134 MB of gradients for fc6 on C3D features);
# without huge pages that is tens of thousands of page faults each time. torch reads this at its first
# allocation, so it is set before torch is imported.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
