"""Names of the backbones, for what must know them before torch is loaded: options of commands, the record of
an extraction.
"""

BACKBONE_NAMES = ("c3d", "s3d", "r2plus1d_18", "mvit_v2_s", "swin3d_t")
