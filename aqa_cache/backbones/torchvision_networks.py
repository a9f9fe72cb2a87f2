"""Video networks of torchvision, without their classifiers. torchvision is imported when one is built: C3D
and S3D work without it.
"""

from torch import nn

from ..errors import missing


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


def swin3d_t() -> nn.Module:
    """Video Swin-T, features before the classifier; 27,850,470 parameters.

    Shape:
        - Input: `(batch, 3, frames, height, width)`, height and width at least 193.
        - Output: `(batch, 768)`, the mean of the normed tokens.

    Source: Liu et al. 2022, arXiv:2106.13230; layers of `torchvision.models.video.swin3d_t`.
    """
    module = torchvision_network("swin3d_t", "Video Swin-T")
    module.head = nn.Identity()
    return module
