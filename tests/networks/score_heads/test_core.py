"""CoRe's groups, tree and exemplars."""

import math

import pytest
import torch
from head_inputs import encoded, known, prepared, scores

from aqa_cache.annotations import Sample
from aqa_heads.errors import TrainingError
from aqa_heads.networks.score_heads.core import CoreHead
from aqa_heads.networks.score_heads.groups import LEAVES, differences, group_edges, place_in_group
from aqa_heads.networks.score_heads.seam import Encoded

NAN = math.nan


@pytest.fixture(scope="module")
def edges():
    points = scores(30).double()
    return group_edges(differences(points, torch.zeros(30)), float(points.max() - points.min()))


def test_differences_are_of_pairs_of_one_key():
    points, keys = torch.tensor([1.0, 4.0, 9.0, 16.0]), torch.tensor([2.0, 2.0, 2.0, NAN])
    assert sorted(differences(points, keys).tolist()) == [3, 5, 8]
    assert len(differences(points, torch.arange(4.0))) == 0


def test_from_a_difference_to_its_place_and_back(edges):
    left, width = edges
    largest = -left[0]
    ends = torch.cat([left, left + width, largest * torch.tensor([-3, -1, 1, 3])])
    delta = torch.cat([ends, largest * torch.randn(500, dtype=torch.float64), torch.zeros(1)])
    leaf, place = place_in_group(delta, left, width)
    torch.testing.assert_close(left[leaf] + width[leaf] * place, delta, rtol=1e-14, atol=1e-13)
    within = delta.abs() < largest
    assert ((place[within] >= 0) & (place[within] <= 1 + 1e-12)).all()
    # Beyond the largest difference of training the outermost groups go on.
    assert (leaf[delta >= largest] == LEAVES - 1).all() and (leaf[delta <= -largest] == 0).all()


def test_groups_are_a_mirror_image_of_as_many_pairs_each(edges):
    left, width = edges
    right = left + width
    torch.testing.assert_close(left, -right.flip(0))
    assert left[LEAVES // 2] == 0 and (left.diff() > 0).all()
    torch.testing.assert_close(right[:-1], left[1:])
    delta = torch.randn(200, dtype=torch.float64) * right[-1]
    there, back = (place_in_group(each, left, width) for each in (delta, -delta))
    assert (there[0] + back[0] == LEAVES - 1).all()
    torch.testing.assert_close(there[1], 1 - back[1])
    apart = differences(scores(30), torch.zeros(30))
    counts = place_in_group(apart, left, width)[0].bincount(minlength=LEAVES)
    assert (counts[: LEAVES // 2] == 0).all() and counts[LEAVES // 2 :].max() <= len(apart) / 8 + 2


@pytest.mark.parametrize("apart", [[0.0, 0.0, 0.0], [2.0, 2.0], [0.0, 0.0, 5.0], []])
def test_groups_of_no_width_keep_the_round_trip(apart):
    left, width = group_edges(torch.tensor(apart, dtype=torch.float64), 5.0)
    delta = torch.tensor([-9.0, -5.0, -2.0, 0.0, 1.0, 2.0, 5.0, 9.0], dtype=torch.float64)
    leaf, place = place_in_group(delta, left, width)
    torch.testing.assert_close(left[leaf] + width[leaf] * place, delta)
    assert (width > 0).all()


def test_leaf_probabilities_sum_to_one_and_are_products_along_the_tree():
    head = prepared(CoreHead, scores(5))
    pairs = torch.randn(7, 2 * 6 + 1)
    with torch.no_grad():
        likely, place = head.tree(pairs)
        root = head.tree.sides[0](torch.relu(head.tree.first(pairs)).unsqueeze(1)).softmax(2)[:, 0]
    assert likely.shape == place.shape == (7, LEAVES)
    torch.testing.assert_close(likely.exp().sum(1), torch.ones(7))
    torch.testing.assert_close(likely.exp()[:, : LEAVES // 2].sum(1), root[:, 0])


def test_exemplars_are_spread_over_the_scores_of_each_key_whatever_their_order():
    points, keys = scores(25), torch.tensor([1.0] * 20 + [2.0] * 4 + [3.0])
    clips, given = encoded(25), known(25, keys=keys)
    head = prepared(CoreHead, points, given=given, pair_by="difficulty")
    assert head.keys.tolist() == [1.0] * 10 + [2.0] * 4 + [3.0]
    first = points[:20]
    assert {float(first.min()), float(first.max())} <= set(head.points.tolist())
    torch.testing.assert_close(head.features, clips.pooled[head.chosen])

    order = torch.randperm(25, generator=torch.Generator().manual_seed(1))
    other = prepared(CoreHead, points, given=given, pair_by="difficulty")
    shuffled = Encoded(clips.pooled[order]), known(25, keys=keys[order]), points[order]
    other.prepare(*shuffled)
    other.remember(*shuffled)
    for name, buffer in head.named_buffers():
        if name != "chosen":
            torch.testing.assert_close(dict(other.named_buffers())[name], buffer)
    asked = encoded(6, seed=1), known(6, keys=torch.tensor([1.0, 2.0, 3.0, 1.0, 2.0, 9.0]))
    torch.testing.assert_close(head.predict(*asked).points, other.predict(*asked).points)


def test_a_key_that_training_lacks_takes_the_nearest_and_is_told():
    points, keys = scores(8), torch.tensor([2.0] * 4 + [3.0] * 4)
    head = prepared(CoreHead, points, given=known(8, keys=keys), pair_by="difficulty")
    clips = encoded(1, seed=1)

    def said(key):
        return head.predict(clips, known(1, keys=torch.tensor([key])))

    assert [bool(said(key).fallen_back) for key in (2.0, 2.1, NAN, 9.0)] == [False, True, True, True]
    assert said(2.1).points == said(2.0).points != said(3.0).points == said(9.0).points
    torch.testing.assert_close(said(NAN).points, (said(2.0).points + said(3.0).points) / 2)
    assert not prepared(CoreHead, points).predict(clips, known(1)).fallen_back.any()


def test_no_class_is_near_to_another():
    given = known(8, keys=torch.tensor([0.0] * 4 + [1.0] * 4))
    head = prepared(CoreHead, scores(8), given=given, pair_by="type", names=["a", "b", "c"])
    both, of_b = head._of_key(torch.tensor([2.0, 1.0]))
    assert both.all() and of_b.tolist() == [False] * 4 + [True] * 4


def test_the_loss_is_of_both_ways_of_every_pair():
    points = scores(2)
    head, clips, given = prepared(CoreHead, points), encoded(2), known(2)
    likely, places = head.loss(clips, given, points)
    assert likely.shape == (8,), "each with an exemplar and with the other, there and back"
    assert likely.isfinite().all() and places.isfinite()
    (likely.mean() + places).backward()
    assert head.tree.first.weight.grad.abs().sum() > 0
    far = head.loss(clips, given, points + torch.tensor([0.0, 1e6]))
    assert all(term.isfinite().all() for term in far)


def test_it_learns_to_tell_the_difference():
    points = scores(6)
    head, clips, given = prepared(CoreHead, points).train(), encoded(6), known(6)
    optimiser = torch.optim.Adam(head.parameters(), 3e-3)
    for _ in range(50):
        optimiser.zero_grad()
        likely, places = head.loss(clips, given, points)
        (likely.mean() + places).backward()
        optimiser.step()
    with torch.no_grad():
        said = head.predict(clips, given)
    assert (said.points - points).abs().mean() < 0.25 * points.std()
    assert (said.spread >= 0).all()


def test_one_exemplar_and_scores_that_are_all_equal_work():
    alone = prepared(CoreHead, torch.tensor([50.0]))
    assert "there is one exemplar: the spread is 0" in alone.notes
    said = alone.predict(encoded(3), known(3))
    assert said.points.isfinite().all() and (said.spread == 0).all()
    same = prepared(CoreHead, torch.tensor([50.0, 50.0, 50.0]))
    assert all(term.isfinite().all() for term in same.loss(encoded(3), known(3), torch.full((3,), 50.0)))
    apart = prepared(
        CoreHead, scores(3), given=known(3, keys=torch.tensor([1.0, 2.0, NAN])), pair_by="difficulty"
    )
    assert len(apart.chosen) == 2
    assert any("no two training samples have the same difficulty" in note for note in apart.notes)
    assert any("1 training samples have no difficulty" in note for note in apart.notes)


def test_pairing_by_what_no_sample_has_names_what_there_is():
    samples = [Sample("a", "v", classes={"type": "b"}), Sample("b", "v", classes={"type": "a"})]
    assert CoreHead.sized_by(samples, pair_by="type") == {"names": ["a", "b"]}
    assert CoreHead.sized_by(samples, pair_by="none") == CoreHead.sized_by(samples) == {}
    for name in ("kind", "difficulty"):
        with pytest.raises(TrainingError, match=f"pair_by is '{name}'.* one of difficulty, none, type"):
            CoreHead.sized_by(samples, pair_by=name)
