"""Video networks of torchvision, without their classifiers. torchvision is imported when one is built: C3D
and S3D work without it.
"""

import torch
from torch import nn

from ..errors import missing
from .time_steps import mean_over_pictures


def torchvision_network(name: str, title: str) -> nn.Module:
    """A network of `torchvision.models.video` as constructed, classifier included.

    Args:
        name: of torchvision's function.
        title: what a person calls the network.

    Raises:
        MissingDependency: torchvision is not installed, or does not fit torch.
    """
    try:
        from torchvision.models import video
    except Exception as error:  # a build that does not fit torch fails with RuntimeError
        raise missing(
            "torchvision", f"the {title} backbone", error, "torchvision (a build that fits torch)"
        ) from None
    return getattr(video, name)(weights=None)


def r2plus1d_18() -> nn.Module:
    """R(2+1)D of 18 layers, features before the classifier; 31,300,125 parameters.

    Shape:
        - Input: `(batch, 3, frames, height, width)`, any size.
        - Output: `(batch, 512)`, the mean over time, height and width.

    Source: Tran et al. 2018, arXiv:1711.11248; layers of `torchvision.models.video.r2plus1d_18`.
    """
    module = torchvision_network("r2plus1d_18", "R(2+1)D-18")
    module.fc = nn.Identity()
    return module


def resnet_over_time(module: nn.Module, clips: torch.Tensor) -> torch.Tensor:
    """One vector a time step, of R3D, R(2+1)D and MC3. Shape: as `time_steps.OverTime`, dim 512."""
    maps = module.stem(clips)
    for layer in (module.layer1, module.layer2, module.layer3, module.layer4):
        maps = layer(maps)
    return mean_over_pictures(maps)


def r3d_18() -> nn.Module:
    """ResNet-3D of 18 layers, features before the classifier; 33,166,272 parameters.

    Shape, Source: as `r2plus1d_18`.
    """
    module = torchvision_network("r3d_18", "R3D-18")
    module.fc = nn.Identity()
    return module


def mc3_18() -> nn.Module:
    """ResNet-MC3 of 18 layers, 3D convolutions below and 2D above, features before the classifier; 11,490,240
    parameters.

    Shape, Source: as `r2plus1d_18`.
    """
    module = torchvision_network("mc3_18", "MC3-18")
    module.fc = nn.Identity()
    return module


def mvit_v1_b() -> nn.Module:
    """MViT-B, features before the classifier; 36,303,072 parameters.

    Shape: as `mvit_v2_s`.

    Source: Fan et al. 2021, arXiv:2104.11227; layers of `torchvision.models.video.mvit_v1_b`.
    """
    module = torchvision_network("mvit_v1_b", "MViT-B")
    module.head = nn.Identity()
    return module


def mvit_v2_s() -> nn.Module:
    """MViTv2-S, features before the classifier; 34,230,144 parameters.

    Shape:
        - Input: `(batch, 3, 16, 224, 224)`: its grid of tokens is fixed.
        - Output: `(batch, 768)`, the class token after the last norm.

    Source: Li et al. 2022, arXiv:2112.01526; layers of `torchvision.models.video.mvit_v2_s`.
    """
    module = torchvision_network("mvit_v2_s", "MViTv2-S")
    module.head = nn.Identity()
    return module


def mvit_over_time(module: nn.Module, clips: torch.Tensor) -> torch.Tensor:
    """The mean of the tokens of each time step; the class token has no time. Shape: as
    `time_steps.OverTime`, dim 768.
    """
    tokens = module.pos_encoding(module.conv_proj(clips).flatten(2).transpose(1, 2))
    grid = (module.pos_encoding.temporal_size, *module.pos_encoding.spatial_size)
    for block in module.blocks:
        tokens, grid = block(tokens, grid)
    return module.norm(tokens)[:, 1:].unflatten(1, (grid[0], grid[1] * grid[2])).mean(dim=2)


def swin3d_t() -> nn.Module:
    """Video Swin-T, features before the classifier; 27,850,470 parameters.

    Shape:
        - Input: `(batch, 3, frames, height, width)`, height and width at least 193.
        - Output: `(batch, 768)`, the mean of the normed tokens.

    Source: Liu et al. 2022, arXiv:2106.13230; layers of `torchvision.models.video.swin3d_t`.
    """
    return _swin3d("swin3d_t", "Video Swin-T")


def swin3d_s() -> nn.Module:
    """Video Swin-S; 49,509,078 parameters. Shape, Source: as `swin3d_t`."""
    return _swin3d("swin3d_s", "Video Swin-S")


def swin3d_b() -> nn.Module:
    """Video Swin-B, `(batch, 1024)`; 87,638,984 parameters. Shape, Source: else as `swin3d_t`."""
    return _swin3d("swin3d_b", "Video Swin-B")


def _swin3d(name: str, title: str) -> nn.Module:
    module = torchvision_network(name, title)
    module.head = nn.Identity()
    return module


def swin_over_time(module: nn.Module, clips: torch.Tensor) -> torch.Tensor:
    """One vector a time step. Shape: as `time_steps.OverTime`, dim 768
    or 1024.
    """
    tokens = module.norm(module.features(module.pos_drop(module.patch_embed(clips))))
    return tokens.mean(dim=(2, 3))
