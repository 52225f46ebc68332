"""docs/examples/race.py: who wins, what becomes of the losers, and what a cancellation leaves."""

import pytest
import trio

from aimu import aio
from aimu.testing import ScriptedProvider, cancel_everywhere, leak_check, reply, virtual_time
from tests.examples import programs

RACE = programs.load("race.py")


def agents(*providers):
    return [aio.Agent(aio.client(provider), name=f"racer {number}") for number, provider in enumerate(providers, 1)]


def run(racers):
    with leak_check():
        return trio.run(RACE.race, racers, **virtual_time("trio"))


def test_the_first_answer_wins_and_the_requests_of_the_others_are_closed(capsys):
    slow, quick = ScriptedProvider(reply("One two three.", delay=2.0)), ScriptedProvider(reply("Two.", delay=5.0))
    racers = agents(slow, quick)
    assert run(racers).agent == "racer 2"
    assert (slow.open_streams, quick.open_streams) == (0, 0)
    assert racers[0].history[-1]["interrupted"]
    assert capsys.readouterr().out.splitlines()[-2:] == ["       racer 1  lost One two ", "       racer 2  won"]


def test_nobody_wins_after_the_deadline(capsys):
    late = [ScriptedProvider(reply("Late.", delay=RACE.DEADLINE + 1)) for _ in range(2)]
    assert run(agents(*late)) is None
    assert [provider.open_streams for provider in late] == [0, 0]
    assert "Nobody answered within 10 s." in capsys.readouterr().out


def test_if_all_fail_the_failures_are_raised():
    with pytest.raises(ExceptionGroup, match="2 of 2 workers failed"):
        run(agents(ScriptedProvider(KeyError("one")), ScriptedProvider(KeyError("two"))))


class Cancelled:
    def __init__(self):
        self.providers = [ScriptedProvider("One two.", "Again.") for _ in range(3)]
        self.racers = agents(*self.providers)

    async def run(self):
        await RACE.race(self.racers)

    async def check(self, *, completed):
        assert [provider.open_streams for provider in self.providers] == [0, 0, 0]
        for racer in self.racers:
            assert await racer.run("Once more.") in ("One two.", "Again.")


def test_a_cancelled_race_leaves_nothing_and_every_racer_can_go_on():
    with leak_check():
        cancel_everywhere(Cancelled, backend="trio", minimum=10)


def test_the_program_runs_as_the_index_says():
    said = programs.run("race.py")
    assert "\nquick wins: Galdhøpiggen, 2,469 metres above the sea.\nNothing is left of the others.\n" in said
