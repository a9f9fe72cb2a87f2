"""Which units a worker gets, and what becomes of those with which one died."""

import random

from aqa_cache.annotations import Sample
from aqa_cache.fleet.handout import Handout
from aqa_cache.fleet.units import Unit


def units(*frames, each=1):
    return [
        Unit(tuple(Sample(f"{number}-{n}", f"{number}.mp4", n, n + 1) for n in range(each)), count)
        for number, count in enumerate(frames)
    ]


def names(units):
    return [sample.sample_id for unit in units for sample in unit.samples]


def test_the_largest_come_first_and_hands_become_single_units():
    given = units(*range(1, 201))
    handout, hands = Handout(given), []
    while hand := handout.take(4):
        hands.append(hand)
    assert sorted(names(unit for hand in hands for unit in hand)) == sorted(names(given))
    frames = [unit.frames for hand in hands for unit in hand]
    assert frames == sorted(frames, reverse=True)
    assert len(hands[0]) > 1 and len(hands[-1]) == 1
    # None is more than a fourth of a worker's share of what was left then.
    left = sum(frames)
    for hand in hands:
        taken = sum(unit.frames for unit in hand)
        assert len(hand) == 1 or taken <= left / 16
        left -= taken


def test_what_comes_back_goes_out_again():
    handout = Handout(units(5, 4, 3))
    hand = handout.take(1)
    assert len(handout) == 2
    handout.give_back(hand)
    assert names(handout.take(1)) == names(hand)


def test_what_killed_is_found_tried_and_given_up_by_name():
    """Whatever the poisoned samples are: they are given up, after so many deaths alone, and no other one."""
    for seed in range(20):
        rng = random.Random(seed)
        given = units(*(rng.randint(1, 9) for _ in range(12)), each=5)
        poison = set(rng.sample(names(given), rng.randint(0, 4)))
        handout, done, given_up, alone = Handout(given, attempts=3), [], [], []
        while len(handout):
            hand = handout.take(2)
            before = [unit for unit in hand if not poison & set(names([unit]))]
            if len(before) == len(hand):
                done += names(hand)
                continue
            if len(names(hand)) == 1:
                alone += names(hand)
            given_up += [sample.sample_id for sample in handout.died(hand)]
        assert sorted(given_up) == sorted(poison)
        assert sorted(done + given_up) == sorted(names(given))
        assert all(alone.count(name) == 3 for name in poison)
