"""Published backbone weights by name: where the files are, and what their hashes begin with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WeightsRecord:
    """Published weights.

    Args:
        url: where the file is.
        sha256: what its SHA-256 begins with (hex), as published; empty where nothing is published: the first
            download pins it.
        layout: name of its key layout, which also says what input it expects.
        note: what a user should know of them.
    """

    name: str
    backbone: str
    url: str
    sha256: str
    layout: str
    note: str

    @property
    def file_name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


WEIGHTS = {
    record.name: record
    for record in (
        WeightsRecord(
            "s3d-kinetics400",
            "s3d",
            "https://download.pytorch.org/models/s3d-d76dad2f.pth",
            "d76dad2f",
            "torchvision-s3d",
            "torchvision KINETICS400_V1, trained on clips of 128 frames at 15 fps; a 16-frame clip is far"
            " shorter",
        ),
        WeightsRecord(
            "r2plus1d_18-kinetics400",
            "r2plus1d_18",
            "https://download.pytorch.org/models/r2plus1d_18-91a641e6.pth",
            "91a641e6",
            "torchvision-r2plus1d_18",
            "torchvision KINETICS400_V1, evaluated by it on clips of 16 frames at 15 fps",
        ),
        WeightsRecord(
            "r3d_18-kinetics400",
            "r3d_18",
            "https://download.pytorch.org/models/r3d_18-b3b3357e.pth",
            "b3b3357e",
            "torchvision-r3d_18",
            "torchvision KINETICS400_V1, evaluated by it on clips of 16 frames at 15 fps",
        ),
        WeightsRecord(
            "mc3_18-kinetics400",
            "mc3_18",
            "https://download.pytorch.org/models/mc3_18-a90a0ba3.pth",
            "a90a0ba3",
            "torchvision-mc3_18",
            "torchvision KINETICS400_V1, evaluated by it on clips of 16 frames at 15 fps",
        ),
        WeightsRecord(
            "mvit_v1_b-kinetics400",
            "mvit_v1_b",
            "https://download.pytorch.org/models/mvit_v1_b-dbeb1030.pth",
            "dbeb1030",
            "torchvision-mvit_v1_b",
            "torchvision KINETICS400_V1, evaluated by it on clips of 16 frames at 7.5 fps",
        ),
        WeightsRecord(
            "mvit_v2_s-kinetics400",
            "mvit_v2_s",
            "https://download.pytorch.org/models/mvit_v2_s-ae3be167.pth",
            "ae3be167",
            "torchvision-mvit_v2_s",
            "torchvision KINETICS400_V1, evaluated by it on clips of 16 frames at 7.5 fps",
        ),
        WeightsRecord(
            "swin3d_t-kinetics400",
            "swin3d_t",
            "https://download.pytorch.org/models/swin3d_t-7615ae03.pth",
            "7615ae03",
            "torchvision-swin3d_t",
            "torchvision KINETICS400_V1, evaluated by it on clips of 32 frames at 15 fps",
        ),
        WeightsRecord(
            "swin3d_s-kinetics400",
            "swin3d_s",
            "https://download.pytorch.org/models/swin3d_s-da41c237.pth",
            "da41c237",
            "torchvision-swin3d_s",
            "torchvision KINETICS400_V1, evaluated by it on clips of 32 frames at 15 fps",
        ),
        WeightsRecord(
            "swin3d_b-kinetics400",
            "swin3d_b",
            "https://download.pytorch.org/models/swin3d_b_1k-24f7c7c6.pth",
            "24f7c7c6",
            "torchvision-swin3d_b",
            "torchvision KINETICS400_V1, evaluated by it on clips of 32 frames at 15 fps",
        ),
        WeightsRecord(
            "swin3d_b-kinetics400-imagenet22k",
            "swin3d_b",
            "https://download.pytorch.org/models/swin3d_b_22k-7c6ae6fa.pth",
            "7c6ae6fa",
            "torchvision-swin3d_b",
            "torchvision KINETICS400_IMAGENET22K_V1, evaluated by it on clips of 32 frames at 15 fps",
        ),
        WeightsRecord(
            "c3d-sports1m-mmaction2",
            "c3d",
            "https://download.openmmlab.com/mmaction/recognition/c3d/c3d_sports1m_pretrain_20201016-dcc47ddc.pth",
            "dcc47ddc",
            "mmaction2-c3d",
            "Sports-1M, converted by mmaction2",
        ),
        WeightsRecord(
            "c3d-sports1m",
            "c3d",
            "http://imagelab.ing.unimore.it/files/c3d_pytorch/c3d.pickle",
            "",
            "c3d-pytorch",
            "Sports-1M, the file that MTL-AQA used",
        ),
    )
}
