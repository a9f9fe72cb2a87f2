"""The precisions of a backbone's arithmetic: their types, which of them a processor has, and how far features
may be from those in fp32.
"""

from dataclasses import dataclass

import numpy as np
import torch

TORCH_DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

MIN_COSINE, MAX_RELATIVE_ERROR = 0.999, 0.05
MAX_ENGINE_ERROR = 1e-4
"""Relative error of another engine in fp32: sums in another order give about 1e-5."""


@dataclass(frozen=True)
class Parity:
    """How far features in a lower precision are from those in fp32, on one batch.

    Args:
        cosine: the smallest over the clips; relative_error: largest difference over the largest feature.
    """

    cosine: float
    relative_error: float

    @property
    def good(self) -> bool:
        """False also where a value is not finite."""
        return self.cosine >= MIN_COSINE and self.relative_error <= MAX_RELATIVE_ERROR

    @classmethod
    def between(cls, features: np.ndarray, reference: np.ndarray) -> "Parity":
        """Compare `(clips, dim)` or `(clips, steps, dim)` features with the reference of the same shape."""
        features, reference = (rows.reshape(-1, rows.shape[-1]) for rows in (features, reference))
        if not np.isfinite(features).all():
            return cls(float("nan"), float("nan"))
        features, reference = features.astype(np.float64), reference.astype(np.float64)
        norms = np.linalg.norm(features, axis=1) * np.linalg.norm(reference, axis=1)
        cosines = (features * reference).sum(axis=1) / np.maximum(norms, np.finfo(float).tiny)
        scale = max(float(np.abs(reference).max()), np.finfo(float).tiny)
        return cls(float(cosines.min()), float(np.abs(features - reference).max()) / scale)


def set_precision(device: torch.device, precision: str) -> None:
    """Let float32 arithmetic on a GPU be float32, or, for `tf32`, round its factors to TF32."""
    if device.type == "cuda":
        # By default cuDNN rounds float32 convolutions to TF32; fp32 here means fp32.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


def is_native(precision: str) -> bool:
    """Whether the processor has this arithmetic itself; what it has to imitate is many times slower than
    fp32.
    """
    if precision == "fp32":
        return True
    supported = getattr(torch.ops.mkldnn, f"_is_mkldnn_{precision}_supported", None)
    return supported is not None and supported()
