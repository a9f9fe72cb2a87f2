import numpy as np
import pytest

from aqa_cache.backbones.precision import Parity


def test_parity_by_hand():
    reference = np.array([[3.0, 4.0], [0.0, 10.0]], np.float32)
    same = Parity.between(reference, reference)
    assert same.cosine == pytest.approx(1) and same.relative_error == 0 and same.good
    turned = Parity.between(np.array([[4.0, 3.0], [0.0, 10.0]], np.float32), reference)
    assert (
        turned.cosine == pytest.approx(24 / 25)
        and turned.relative_error == pytest.approx(0.1)
        and not turned.good
    )
    assert not Parity.between(np.array([[np.inf, 3.0], [0.0, 10.0]], np.float32), reference).good
