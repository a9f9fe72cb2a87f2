"""Tiny models with random numbers, saved as transformers and timm save them."""

import json

import torch

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 37}
DECODER = {f"decoder_{name}": value for name, value in (SIZES | {"num_hidden_layers": 1}).items()}
VJEPA2 = {
    "crop_size": 32,
    "patch_size": 16,
    "frames_per_clip": 2,
    "tubelet_size": 2,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "mlp_ratio": 1,
    "pred_hidden_size": 32,
    "pred_num_attention_heads": 2,
    "pred_num_hidden_layers": 2,
}
PROCESSOR = {
    "do_center_crop": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "rescale_factor": 1 / 255,
    "resample": 2,
}


def _vjepa2(t):
    return t.VJEPA2Model(t.VJEPA2Config(**VJEPA2)), 32


def _videomae(t, model="VideoMAEForPreTraining"):
    sizes = SIZES | DECODER | {"image_size": 32, "patch_size": 16, "num_frames": 4, "tubelet_size": 2}
    return getattr(t, model)(t.VideoMAEConfig(**sizes)), 32


def _dinov2(t):
    return t.Dinov2Model(t.Dinov2Config(image_size=28, patch_size=14, **SIZES)), 28


def _dinov3(t):
    return t.DINOv3ViTModel(t.DINOv3ViTConfig(image_size=32, patch_size=16, **SIZES)), 32


def _clip(t):
    vision = SIZES | {"image_size": 32, "patch_size": 16}
    return t.CLIPVisionModel(t.CLIPVisionConfig(**vision)), 32


def _clip_whole(t):
    text = SIZES | {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2}
    vision = SIZES | {"image_size": 32, "patch_size": 16}
    return t.CLIPModel(t.CLIPConfig(vision_config=vision, text_config=text, projection_dim=16)), 32


TRANSFORMERS = {
    "vjepa2": _vjepa2,
    "videomae": _videomae,
    "videomae-tuned": lambda t: _videomae(t, "VideoMAEForVideoClassification"),
    "dinov2": _dinov2,
    "dinov3": _dinov3,
    "clip-vision": _clip,
    "clip": _clip_whole,
}
"""Each gives a model and the side of its frames."""


def saved_by_transformers(folder, kind, licence="mit", **options):
    """A folder with a model of `TRANSFORMERS`; gives that model."""
    import transformers

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, size = TRANSFORMERS[kind](transformers)
        for parameter in model.parameters():  # as constructed, biases are zeros
            torch.nn.init.normal_(parameter, std=0.1)
    bars = transformers.utils.logging
    bars.disable_progress_bar()
    model.eval().save_pretrained(folder, **options)
    processor = PROCESSOR | {
        "size": {"shortest_edge": size + 4},
        "crop_size": {"height": size, "width": size},
    }
    name = "video_preprocessor_config.json" if kind == "vjepa2" else "preprocessor_config.json"
    (folder / name).write_text(json.dumps(processor))
    (folder / "README.md").write_text(f"---\nlicense: {licence}\n---\nA model of random numbers.\n")
    return model


def saved_by_timm(folder, architecture, num_classes=5, **arguments):
    """A folder as timm writes it for the Hub; gives the model."""
    import timm

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model(architecture, num_classes=num_classes, **arguments).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    arguments = {"num_classes": num_classes, **arguments}
    timm.models.save_for_hf(model, folder, model_args=arguments, safe_serialization=True)
    return model
