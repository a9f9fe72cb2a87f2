"""What the driver of actors makes of what they tell; Ray itself is not needed."""

import logging
import threading
from types import SimpleNamespace

from aqa_cache.annotations import Sample
from aqa_cache.extraction.configuration import ExtractionConfig
from aqa_cache.fleet.ray_actor import Extractor, Standing
from aqa_cache.fleet.ray_crew import RayActors, RayCrew
from aqa_cache.fleet.ray_member import Member, id_of
from aqa_cache.fleet.units import Unit
from aqa_cache.fleet.worker import UnitDone


def test_a_unit_that_was_told_to_an_earlier_question_is_not_missed_at_the_end_of_a_hand():
    done = []
    crew = RayCrew(RayActors(), ExtractionConfig(), None, None, None, threading.Event())
    crew._ray = SimpleNamespace(get=lambda reference: reference)
    crew._made = SimpleNamespace(samples=0, clips=0)
    crew._done = done.append
    one, other = (Unit((Sample(name, "a.mp4", 0, 20),), 20) for name in "ab")
    asked = Standing([UnitDone(one, 2, [], ["one.h5"], 1)], [], 2, 4)
    member = Member(None, "reference", asked, hand={id_of(unit): unit for unit in (one, other)})
    crew._hear(member, Standing([UnitDone(other, 2, [], ["other.h5"], 1)], [], 4, 4))
    assert [unit.unit for unit in done] == [one, other]
    assert not member.hand and crew._made.samples == 2 and crew._made.clips == 4


def test_an_actor_whose_node_may_be_lost_is_waited_for(said):
    """Ray says first that it is not reached, and some seconds later that the node is lost."""
    given, nodes = [], [{"NodeID": "n", "Alive": True}]

    class RayError(Exception):
        pass

    class Unavailable(RayError):
        pass

    crew = RayCrew(RayActors(), ExtractionConfig(), None, None, None, threading.Event())
    crew._ray = SimpleNamespace(
        exceptions=SimpleNamespace(RayError=RayError, RayTaskError=(), ActorUnavailableError=Unavailable),
        nodes=lambda: nodes,
        kill=lambda actor: None,
    )
    crew._left = SimpleNamespace(give_back=given.append)
    loading = Member(None, "reference")
    working = Member(None, "reference", loaded=SimpleNamespace(node="n", host="h"))
    crew._members = [loading, working]
    with crew._deaths_of(loading):
        raise RayError("The actor died because its node has died. Node Id: m")
    assert said == ["A node was lost, with an actor that loaded the backbone; another begins."]
    with crew._deaths_of(working):
        raise Unavailable("RPC error: Socket closed")
    crew._look_for_node(working)
    assert crew._members == [working] and working.reference is None and len(said) == 1
    nodes[0]["Alive"] = False
    crew._look_for_node(working)
    assert said[1] == "A node was lost, with an actor on h; 0 sample(s) go to others."
    assert crew._members == [] and crew._deaths == 0 and given == [[], []]


def test_what_actors_log_is_logged_once_and_keeps_its_level(caplog):
    actor, told = Extractor(None), []
    for _ in range(2):  # another actor would tell the same
        logging.getLogger("aqa_cache.video.decoding").warning("a.mp4: is HDR")
        logging.getLogger("aqa_cache.weights.download").info("Downloading")
        told.append(actor.standing())
    actor.close()
    caplog.clear()
    crew = RayCrew(RayActors(), ExtractionConfig(), None, None, None, threading.Event())
    with caplog.at_level(logging.INFO, "aqa_cache"):
        for standing in told:
            crew._take(Member(None, "reference", None), standing)
    heard = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert heard == [(logging.WARNING, "a.mp4: is HDR"), (logging.INFO, "Downloading")]
