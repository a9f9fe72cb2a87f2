"""How publishers name the parameters of a backbone, and what input their weights expect."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ..clips.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from ..errors import WeightsError


@dataclass(frozen=True)
class KeyLayout:
    """How a publisher names the parameters of a backbone.

    Args:
        marker: a key (after `module.` and `backbone.` are stripped) that only this layout has; empty: any
            file is taken for it.
        rename: pairs of regular expression and replacement, applied in order, to our names.
        head: prefixes, in the publisher's names, of layers above the feature; they are left out.
        shape: of the marker, where a network of the same names has another.
        lacking: a key that tells a larger network of the same names from this one.
    """

    name: str
    backbone: str
    marker: str
    rename: tuple[tuple[str, str], ...]
    head: tuple[str, ...]
    preprocessing: Preprocessing
    shape: tuple[int, ...] | None = None
    lacking: str | None = None

    def fits(self, tensors: dict[str, torch.Tensor]) -> bool:
        if not self.marker:
            return True
        if self.marker not in tensors or self.lacking in tensors:
            return False
        return self.shape is None or tensors[self.marker].shape == self.shape


_KINETICS_MEAN, _KINETICS_STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
_KINETICS_112 = Preprocessing(resize=(128, 171), crop=112, mean=_KINETICS_MEAN, std=_KINETICS_STD)
_MVIT = Preprocessing(resize=256, crop=224, mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225))
_SWIN = Preprocessing(resize=256, crop=224, mean=IMAGENET_MEAN, std=IMAGENET_STD)
# Of the third stage, which has 6 blocks in Swin-T and 18 in Swin-S and Swin-B, of 384 and 512 channels.
_SWIN_DEEP = "features.4.17.norm1.weight"
_UNIT = (1.0, 1.0, 1.0)

_I3D = Preprocessing(resize=256, crop=224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
# Frames of the CoRe family are kept at 455x256, and normalised as ImageNet's are.
_I3D_CORE = Preprocessing(resize=(256, 455), crop=224, mean=IMAGENET_MEAN, std=IMAGENET_STD)
_I3D_RENAMED = (
    (r"^Conv3d_", "conv3d_"),
    (r"^Mixed_", "mixed_"),
    (r"\.bn\.", ".batch3d."),
    (r"\.b0\.", ".branch_0."),
    (r"\.b([12])a\.", r".branch_\1.0."),
    (r"\.b([12])b\.", r".branch_\1.1."),
    (r"\.b3b\.", ".branch_3.1."),
)


def _i3d(backbone: str, preprocessing: Preprocessing) -> tuple[KeyLayout, KeyLayout]:
    """The two layouts in which the weights of I3D go round."""
    return (
        KeyLayout(backbone, backbone, "conv3d_1a_7x7.conv3d.weight", (), ("conv3d_0c_1x1.",), preprocessing),
        KeyLayout(
            f"piergiaj-{backbone}",
            backbone,
            "Conv3d_1a_7x7.conv3d.weight",
            _I3D_RENAMED,
            ("logits.",),
            preprocessing,
        ),
    )


LAYOUTS = {
    layout.name: layout
    for layout in (
        # torchvision's: its own transforms of KINETICS400_V1; a test compares them.
        KeyLayout(
            "torchvision-s3d",
            "s3d",
            "features.0.0.0.weight",
            (),
            ("classifier.",),
            Preprocessing(resize=(256, 256), crop=224, mean=_KINETICS_MEAN, std=_KINETICS_STD),
        ),
        KeyLayout(
            "torchvision-r2plus1d_18",
            "r2plus1d_18",
            "stem.3.weight",
            (),
            ("fc.",),
            _KINETICS_112,
        ),
        KeyLayout(
            "torchvision-r3d_18",
            "r3d_18",
            "layer2.0.conv1.0.weight",
            (),
            ("fc.",),
            _KINETICS_112,
            shape=(128, 64, 3, 3, 3),
        ),
        KeyLayout(
            "torchvision-mc3_18",
            "mc3_18",
            "layer2.0.conv1.0.weight",
            (),
            ("fc.",),
            _KINETICS_112,
            shape=(128, 64, 1, 3, 3),
        ),
        KeyLayout(
            "torchvision-mvit_v1_b",
            "mvit_v1_b",
            "pos_encoding.spatial_pos",
            (),
            ("head.",),
            _MVIT,
        ),
        KeyLayout(
            "torchvision-mvit_v2_s",
            "mvit_v2_s",
            "blocks.0.attn.rel_pos_h",
            (),
            ("head.",),
            _MVIT,
        ),
        KeyLayout(
            "torchvision-swin3d_t",
            "swin3d_t",
            "features.0.0.attn.relative_position_bias_table",
            (),
            ("head.",),
            _SWIN,
            lacking=_SWIN_DEEP,
        ),
        KeyLayout(
            "torchvision-swin3d_s",
            "swin3d_s",
            _SWIN_DEEP,
            (),
            ("head.",),
            _SWIN,
            shape=(384,),
        ),
        KeyLayout(
            "torchvision-swin3d_b",
            "swin3d_b",
            _SWIN_DEEP,
            (),
            ("head.",),
            _SWIN,
            shape=(512,),
        ),
        *_i3d("i3d", _I3D),
        *_i3d("i3d-core", _I3D_CORE),
        KeyLayout(
            "kylemin-s3d",
            "s3d",
            "base.0.conv_s.weight",
            (
                (r"^base\.", "features."),
                (r"\.conv_s\.", ".0.0."),
                (r"\.bn_s\.", ".0.1."),
                (r"\.conv_t\.", ".1.0."),
                (r"\.bn_t\.", ".1.1."),
                (r"\.conv\.", ".0."),
                (r"\.bn\.", ".1."),
                (r"branch0\.0\.([01])\.", r"branch0.\1."),
            ),
            ("fc.",),
            # The author feeds [-1, 1], in training and testing (kylemin/S3D issue 4).
            Preprocessing(resize=(256, 256), crop=224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        ),
        KeyLayout(
            "c3d-pytorch",
            "c3d",
            "conv1.weight",
            (),
            ("fc6.", "fc7.", "fc8."),
            # Converted from Caffe: 0 to 255, BGR, mean of Sports-1M (DavideA/c3d-pytorch issue 1).
            Preprocessing(
                resize=(128, 171),
                crop=112,
                mean=(90.25, 97.66, 101.41),
                std=_UNIT,
                value_range=255.0,
                channel_order="bgr",
            ),
        ),
        KeyLayout(
            "mmaction2-c3d",
            "c3d",
            "conv1a.conv.weight",
            ((r"^conv([12])a\.conv\.", r"conv\1."), (r"^(conv[345][ab])\.conv\.", r"\1.")),
            ("fc6.", "fc7.", "fc8.", "cls_head."),
            # mmaction2's test pipeline: shorter side 128, RGB, mean 104 117 128.
            Preprocessing(resize=128, crop=112, mean=(104.0, 117.0, 128.0), std=_UNIT, value_range=255.0),
        ),
    )
}
"""By name; the first of a backbone has the module's own names."""


def layouts_of(backbone: str) -> list[KeyLayout]:
    return [layout for layout in LAYOUTS.values() if layout.backbone == backbone]


def detect_layout(backbone: str, tensors: dict[str, torch.Tensor], path: Path) -> KeyLayout:
    """The layout of this backbone whose marker is among the keys.

    Raises:
        WeightsError: no layout of this backbone is.
    """
    for layout in layouts_of(backbone):
        if layout.fits(tensors):
            return layout
    for layout in LAYOUTS.values():
        if layout.marker and layout.fits(tensors):
            raise WeightsError(
                f"{path}: holds weights for {layout.backbone} (layout {layout.name}), not for {backbone}"
            )
    known = ", ".join(f"{layout.name} ({layout.marker})" for layout in layouts_of(backbone))
    raise WeightsError(
        f"{path}: its {len(tensors)} keys ({', '.join(list(tensors)[:3])}, …) match no known layout of"
        f" {backbone}: {known}"
    )
