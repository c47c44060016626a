"""What a storm does follows from its seed."""

from __future__ import annotations

from itertools import pairwise

from storm.schedule import Fault, Step, schedule

PROCESSES = ["one", "two", "three"]


def of(seed: int, *faults: Fault, minutes: float = 5) -> list[Step]:
    return schedule(
        seed=seed, from_s=5.0, to_s=5.0 + minutes * 60, every_s=5.0, faults=faults, processes=PROCESSES
    )


def test_the_same_seed_is_the_same_storm_and_another_is_another() -> None:
    assert of(7, *Fault) == of(7, *Fault)
    assert of(7, *Fault) != of(8, *Fault)


def test_somebody_is_killed_every_so_often_and_nobody_is_spared() -> None:
    kills = of(7, Fault.KILL)
    assert len(kills) == 60
    assert {round(later.at_s - earlier.at_s, 1) for earlier, later in pairwise(kills)} == {5.0}
    assert {step.process for step in kills} == set(PROCESSES)


def test_every_fault_strikes_even_in_a_short_storm() -> None:
    steps = of(7, *Fault, minutes=0.2)
    assert {step.fault for step in steps} == set(Fault)
    assert steps == sorted(steps, key=lambda step: step.at_s)
    assert all(5.0 <= step.at_s < 17.0 for step in steps)


def test_which_replica_it_is_depends_on_those_that_are_there() -> None:
    step = Step(at_s=0.0, fault=Fault.KILL, process="one", pick=0.9)
    assert step.of(["one"]) == "one"
    assert step.of(["one", "one-2", "one-3"]) == "one-3"
