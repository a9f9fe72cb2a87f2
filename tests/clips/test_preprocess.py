import json

import numpy as np
import pytest
import torch

from aqa_cache.backbones.key_layouts import LAYOUTS
from aqa_cache.clips.preprocess import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    MTL_AQA,
    FramePreparer,
    Preprocessing,
    normalise,
)
from aqa_cache.errors import AqaError

S3D = LAYOUTS["torchvision-s3d"].preprocessing
SIZES = [(240, 320), (270, 480), (360, 640), (100, 90), (256, 256), (1, 1)]


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_s3d_input_equals_torchvisions_own_transform(size):
    from torchvision.models.video import S3D_Weights

    frame = noise(*size)
    ours = normalise(torch.from_numpy(FramePreparer(S3D)(frame))[None, None], S3D)
    theirs = S3D_Weights.KINETICS400_V1.transforms()(torch.from_numpy(frame).permute(2, 0, 1)[None])
    torch.testing.assert_close(ours[0], theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_mtl_aqa_frames_equal_pillow_and_torchvision(size):
    from PIL import Image
    from torchvision import transforms

    frame = noise(*size)
    resized = Image.fromarray(frame).resize((171, 128), Image.Resampling.BILINEAR)
    published = transforms.Compose(
        [transforms.CenterCrop(112), transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
    )
    ours = normalise(
        torch.from_numpy(np.ascontiguousarray(FramePreparer(MTL_AQA)(frame)))[None, None], MTL_AQA
    )
    torch.testing.assert_close(ours[0, :, 0], published(resized), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_bilinear_taps_worked_pixel_by_pixel(size):
    frame, preparer = noise(*size), FramePreparer(S3D.at_size(32))
    height, width = preparer._resized(*size)
    out = preparer(frame)
    for row, column in [(0, 0), (0, 31), (13, 7), (31, 0), (31, 31)]:
        y, first_row, second_row = source(row, size[0], height)
        x, left, right = source(column, size[1], width)
        upper = frame[first_row, left] * (1 - x) + frame[first_row, right] * x
        lower = frame[second_row, left] * (1 - x) + frame[second_row, right] * x
        np.testing.assert_array_equal(out[row, column], np.rint(upper * (1 - y) + lower * y))


def source(output, size, resized):
    """The second tap's share and both taps of an output pixel, in one direction, in the arithmetic of
    float32.
    """
    one, half = np.float32(1), np.float32(0.5)
    place = (
        np.float32(size) / np.float32(resized) * (np.float32(output + round((resized - 32) / 2)) + half)
        - half
    )
    place = max(place, 0 * one)
    first = min(int(place), size - 1)
    return place - np.float32(first), first, min(first + 1, size - 1)


def test_a_prepared_frame_is_its_own():
    # Frames wait for their clip while others are prepared; turned ones are views of the decoder's picture.
    preparer, frame = FramePreparer(S3D.at_size(32)), noise(90, 120)
    turned = np.rot90(frame)
    first = preparer(turned)
    before = first.copy()
    preparer(255 - turned)
    frame[:] = 0
    np.testing.assert_array_equal(first, before)
    np.testing.assert_array_equal(first, preparer(np.ascontiguousarray(np.rot90(noise(90, 120)))))


def test_bgr_and_value_range_worked_by_hand():
    caffe = LAYOUTS["c3d-pytorch"].preprocessing
    pixel = torch.tensor([10, 20, 200], dtype=torch.uint8).expand(1, 1, 2, 2, 3)
    out = normalise(pixel, caffe)
    assert out[0, :, 0, 0, 0].tolist() == pytest.approx([200 - 90.25, 20 - 97.66, 10 - 101.41], abs=1e-4)


@pytest.mark.parametrize("size", [(256, 340), (340, 256)])
def test_shorter_side_keeps_the_aspect_ratio(size):
    # A frame whose pixels are their own column number: after scaling by 1/2 the crop must be centred and
    # undistorted.
    frame = np.zeros((*size, 3), np.uint8)
    frame[..., 0] = np.minimum(np.arange(size[1]), 255)[None]
    frame[..., 1] = np.minimum(np.arange(size[0]), 255)[:, None]
    out = FramePreparer(LAYOUTS["mmaction2-c3d"].preprocessing)(frame).astype(int)
    assert out.shape == (112, 112, 3)
    assert set(np.diff(out[0, :60, 0])) <= {2} and set(np.diff(out[:60, 0, 1])) <= {2}


def test_frames_are_ready_for_channels_last():
    out = normalise(torch.zeros(2, 16, 32, 32, 3, dtype=torch.uint8), S3D.at_size(32))
    assert out.shape == (2, 3, 16, 32, 32)
    assert out.is_contiguous(memory_format=torch.channels_last_3d)


def test_size_scales_the_resize_along():
    assert S3D.at_size(112).resize == (128, 128) and S3D.at_size(112).crop == 112
    assert S3D.at_size(None) is S3D
    with pytest.raises(AqaError, match="size is 8 pixels"):
        S3D.at_size(8)


@pytest.mark.parametrize(
    "preprocessing", [MTL_AQA, S3D.at_size(64), *(one.preprocessing for one in LAYOUTS.values())]
)
def test_a_preprocessing_comes_back_from_its_record(preprocessing):
    assert Preprocessing.from_record(json.loads(json.dumps(preprocessing.record()))) == preprocessing


def test_records_that_are_no_preprocessing_are_refused():
    with pytest.raises(
        AqaError,
        match="has the keys none, expected antialias, channel_order, crop, mean, resize, std, value_range",
    ):
        Preprocessing.from_record({})
    with pytest.raises(AqaError, match="has the keys antialias, channel_order, crop, gamma, mean, "):
        Preprocessing.from_record({**MTL_AQA.record(), "gamma": 2.2})


@pytest.mark.parametrize("channel_order", ["rgb", "bgr"])
def test_how_the_input_lies_in_memory_does_not_change_its_values(channel_order):
    preprocessing = Preprocessing(
        (32, 32), 32, (0.1, 0.5, 0.9), (0.2, 0.25, 0.3), channel_order=channel_order
    )
    clips = torch.randint(0, 256, (2, 3, 32, 32, 3), dtype=torch.uint8)
    last, first = (normalise(clips, preprocessing, channels_last=way) for way in (True, False))
    assert torch.equal(last, first) and first.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last_3d)
    kept = torch.full((clips.numel(),), torch.nan)
    for way in (True, False):
        assert torch.equal(normalise(clips, preprocessing, channels_last=way, memory=kept), last)
