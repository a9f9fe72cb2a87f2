"""Which device to compute on."""

import torch

from .errors import AqaError


def pick_device(name: str) -> torch.device:
    """`auto` is the first GPU if there is one, else the CPU.

    Raises:
        AqaError: the device is unknown, or not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise AqaError(f"device {name!r} is not supported; use auto, cpu or cuda")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise AqaError(
            f"device {name!r} cannot be used ({reason}); use auto, cpu, or cuda where there is a GPU"
        ) from None
    return device
