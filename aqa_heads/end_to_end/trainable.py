"""Which layers of a backbone are trained, and in which mode each of them is while it is."""

from collections.abc import Iterator
from itertools import accumulate

from torch import channels_last_3d, nn

from ..errors import TrainingError
from ..settings.fine_tuning import BATCH_NORMS

_BATCH_NORM_LAYERS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def layers_of(module: nn.Module) -> list[str]:
    """Names of the layers with weights, nested ones too, in the order in which the network defines them.

    >>> layers_of(nn.Sequential(nn.Conv3d(3, 4, 1), nn.ReLU(), nn.Sequential(nn.Linear(4, 1))))
    ['0', '2', '2.0']
    """
    layers = {}
    for name, _ in module.named_parameters():
        layers |= dict.fromkeys(accumulate(name.split(".")[:-1], "{}.{}".format))
    return list(layers)


def prepare(module: nn.Module, freeze_until: str | None, batch_norm: str = "frozen") -> list[str]:
    """Freeze the first layers of a backbone, let the others be trained, and put it in the mode for that.

    "First" is by the order in which the network defines its layers, which for the backbones that come with
    this program is the order in which a clip goes through them; inside a block it need not be.

    Args:
        module: is changed; its convolutions keep their weights channels last.
        freeze_until: name of the first layer that is trained, one of `layers_of`; None: all are.
        batch_norm: one of `BATCH_NORMS`; see `training_mode`.

    Returns:
        Names of the frozen layers, without those inside them.

    Raises:
        TrainingError: the network has no such layer.
    """
    layers = layers_of(module)
    if freeze_until is not None and freeze_until not in layers:
        nested = next((name for name in reversed(layers) if name not in set(_blocks(module))), None)
        raise TrainingError(
            f"--freeze-until {freeze_until}: the backbone has no layer of this name with weights; choose one"
            f" of {', '.join(_blocks(module))}"
            + (f", or a layer inside them, such as {nested}" if nested else "")
        )
    trained = freeze_until is None
    for name, parameter in module.named_parameters():
        trained = trained or name.startswith(f"{freeze_until}.")
        parameter.requires_grad_(trained)
    for layer in module.modules():
        # not the whole module: a network of frames has weights of four dimensions
        if isinstance(layer, nn.Conv3d):
            layer.to(memory_format=channels_last_3d)
    training_mode(module, batch_norm)
    frozen = [layer for layer in layers if not _is_trained(module.get_submodule(layer))]
    return [layer for layer in frozen if layer.rpartition(".")[0] not in frozen]


def training_mode(module: nn.Module, batch_norm: str) -> None:
    """Training mode, but for frozen layers, which are evaluated wholly: without dropout, with the statistics
    they have.

    Args:
        module: a backbone that went through `prepare`.
        batch_norm: `frozen`: every batch norm normalises by the statistics it has and leaves them as they
            are; its weights are trained. `chunk`: those of layers that are trained normalise by the
            statistics of the clips at hand, and record them.
    """
    assert batch_norm in BATCH_NORMS, batch_norm
    module.train()
    reached = all(parameter.requires_grad for parameter in module.parameters())
    for layer in module.modules():
        weights = any(True for _ in layer.parameters())
        # A layer without weights, such as a dropout, is frozen where all that was defined before it is.
        if not _is_trained(layer) and (weights or not reached):
            layer.eval()
        elif isinstance(layer, _BATCH_NORM_LAYERS) and batch_norm == "frozen":
            layer.eval()
        reached = reached or any(parameter.requires_grad for parameter in layer.parameters(recurse=False))


def _is_trained(layer: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in layer.parameters())


def _blocks(module: nn.Module, prefix: str = "") -> Iterator[str]:
    """The layers a person would name: those of the network, and in place of a mere sequence its members."""
    for name, layer in module.named_children():
        if type(layer) in (nn.Sequential, nn.ModuleList):
            yield from _blocks(layer, f"{prefix}{name}.")
        elif any(True for _ in layer.parameters()):
            yield prefix + name
