"""Which device to compute on, and how much memory that took."""

import os
import platform
import re
import sys
from pathlib import Path

import torch

from ..errors import AqaError, first_line


def pick_device(name: str) -> torch.device:
    """`auto` is a GPU if there is one, else the CPU: under torchrun that of `LOCAL_RANK`, else the first.

    Raises:
        AqaError: the device is unknown, or not there.
    """
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        number = os.environ.get("LOCAL_RANK", "0")
        if not re.fullmatch("[0-9]{1,9}", number):
            raise AqaError(f"the environment says LOCAL_RANK={number}, expected a number; unset it")
        return torch.device("cuda", int(number) % torch.cuda.device_count())
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise AqaError(f"device {name!r} is not supported; use auto, cpu or cuda")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise AqaError(
            f"device {name!r} cannot be used ({first_line(error)}); use auto, cpu, or cuda where there is"
            " a GPU"
        ) from None
    return device


def device_name(device: torch.device) -> str:
    """What a person calls the device: the GPU's or the processor's model name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def process_peak_memory() -> int | None:
    """Resident bytes of this process at its largest so far; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows has no such count
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def available_memory(device: torch.device) -> float:
    """Bytes that can still be taken there; infinite where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return float("inf")
