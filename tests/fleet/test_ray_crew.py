"""What the driver of actors makes of what they tell; Ray itself is not needed."""

import threading
from types import SimpleNamespace

from aqa_cache.annotations import Sample
from aqa_cache.extraction.configuration import ExtractionConfig
from aqa_cache.fleet.ray_actor import Standing
from aqa_cache.fleet.ray_crew import RayActors, RayCrew
from aqa_cache.fleet.ray_member import Member, id_of
from aqa_cache.fleet.units import Unit
from aqa_cache.fleet.worker import UnitDone


def test_a_unit_that_was_told_to_an_earlier_question_is_not_missed_at_the_end_of_a_hand():
    done = []
    crew = RayCrew(RayActors(), ExtractionConfig(), None, None, None, print, threading.Event())
    crew._ray = SimpleNamespace(get=lambda reference: reference)
    crew._made = SimpleNamespace(samples=0, clips=0)
    crew._done = done.append
    one, other = (Unit((Sample(name, "a.mp4", 0, 20),), 20) for name in "ab")
    asked = Standing([UnitDone(one, 2, [], ["one.h5"], 1)], [], 2, 4)
    member = Member(None, "reference", asked, hand={id_of(unit): unit for unit in (one, other)})
    crew._hear(member, Standing([UnitDone(other, 2, [], ["other.h5"], 1)], [], 4, 4))
    assert [unit.unit for unit in done] == [one, other]
    assert not member.hand and crew._made.samples == 2 and crew._made.clips == 4
