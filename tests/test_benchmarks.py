"""The harness of the benchmarks: statistics, results as JSON, comparison, report, and the command line."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.harness import Bench, Clock
from benchmarks.harness.clock import Cost
from benchmarks.harness.comparison import compared, text
from benchmarks.harness.figures import figure, ratios
from benchmarks.harness.progress import Progress
from benchmarks.harness.report import filled, report
from benchmarks.harness.results import Measured, Measurement, Results
from benchmarks.harness.runs import NEEDS, estimates, programs
from benchmarks.harness.tables import amount, table

ROOT = Path(__file__).parents[1]


def measured(name="call", against="plain", program="sync", size=None, **ways):
    what = Measured(name, "call", ("cpu",), against, size=size, along=None if size is None else "messages")
    costs = {way: [Cost(value, 2 * value) for value in values] for way, values in ways.items()}
    found = Measurement.of(what, costs)
    return Measurement(found.what, found.rounds, program)


def run_of(*measurements, backend="asyncio"):
    options = {"backend": backend, "quick": False, "rounds": None, "peers": None, "llama_server": None}
    machine = {"system": "Linux", "processor": "a processor", "cores": 2, "load_before": 0.1}
    return Results("2026-11-26T12:00:00Z", options, machine, {"python": "3.11.7", "aimu": "abc"}, list(measurements))


def test_the_spread_is_the_range_between_the_quartiles():
    found = figure([5.0, 1.0, 3.0, 2.0, 4.0])
    assert (found.median, found.low, found.high, found.rounds) == (3.0, 2.0, 4.0, 5)
    assert found.has_spread
    assert not figure([1.0, 2.0]).has_spread
    assert figure([7.0]).median == 7.0
    with pytest.raises(ValueError, match="no rounds"):
        figure([])


def test_ratios_are_taken_pair_by_pair():
    assert ratios([1.0, 4.0], [2.0, 4.0]) == [0.5, 1.0]
    slow_machine = measured(plain=[1.0, 2.0, 30.0], aimu=[0.5, 1.0, 15.0])
    ratio = slow_machine.ratio("aimu", "cpu")
    assert (ratio.low, ratio.median, ratio.high) == (0.5, 0.5, 0.5)
    assert slow_machine.ratio("plain", "cpu") is None
    assert slow_machine.ratio("aimu", "memory") is None


def test_results_survive_json(tmp_path):
    run = run_of(measured(plain=[1.0, 2.0, 3.0], aimu=[1.0, 1.0, 1.0]), measured("turn", None, size=10, aimu=[4.0]))
    run.save(tmp_path / "new" / "run.json")
    assert Results.load(tmp_path / "new" / "run.json") == run
    document = json.loads((tmp_path / "new" / "run.json").read_text())
    assert document["schema"] == 1
    first = document["measurements"][0]
    assert first["ways"]["aimu"]["cpu"] == {
        "median": 1.0,
        "low": 1.0,
        "high": 1.0,
        "rounds": [1.0, 1.0, 1.0],
        "ratio": {"median": 0.5, "low": pytest.approx(5 / 12), "high": 0.75},
    }
    assert list(tmp_path.joinpath("new").iterdir()) == [tmp_path / "new" / "run.json"]


def test_results_of_another_schema_are_refused(tmp_path):
    path = tmp_path / "old.json"
    for content in ('{"schema": 0}', "{}", "[]"):
        path.write_text(content)
        with pytest.raises(ValueError, match="measure again"):
            Results.load(path)


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        ([1.0, 1.1, 1.2], [2.0, 2.1, 2.2], "worse"),
        ([2.0, 2.1, 2.2], [1.0, 1.1, 1.2], "better"),
        ([1.0, 1.5, 2.0], [1.2, 1.6, 2.2], "same"),
        ([1.0, 1.1], [2.0, 2.1], "too few rounds"),
    ],
)
def test_a_verdict_needs_a_difference_beyond_both_spreads(before, after, word):
    comparison = compared(run_of(measured(against=None, aimu=before)), run_of(measured(against=None, aimu=after)))
    (verdict,) = comparison.verdicts
    assert verdict.word == word
    assert verdict.unit == "cpu"


def test_a_slower_machine_is_no_verdict_where_a_ratio_was_measured():
    before = run_of(measured(plain=[1.0, 1.0, 1.0], aimu=[0.5, 0.5, 0.5]))
    after = run_of(measured(plain=[3.0, 3.0, 3.0], aimu=[1.5, 1.5, 1.5]))
    (verdict,) = compared(before, after).verdicts
    assert (verdict.word, verdict.unit, verdict.change) == ("same", "cpu ratio", 1.0)


def test_what_only_one_run_has_is_named():
    comparison = compared(run_of(measured("a", None, aimu=[1.0])), run_of(measured("b", None, aimu=[1.0])))
    assert comparison.verdicts == ()
    assert comparison.only == ("sync: a: only in the first run", "sync: b: only in the second run")


def test_circumstances_that_differ_are_named():
    before, after = (run_of(measured(aimu=[1.0]), backend=backend) for backend in ("asyncio", "trio"))
    after.versions["python"] = "3.12.0"
    differences = compared(before, after).differences
    assert differences == ("backend: asyncio before, trio after", "python: 3.11.7 before, 3.12.0 after")
    assert compared(before, before).differences == ()


def test_compare_fails_only_beyond_the_bound(tmp_path, capsys):
    paths = tmp_path / "a.json", tmp_path / "b.json"
    for path, value in zip(paths, (1.0, 1.3), strict=True):
        run_of(measured(against=None, aimu=[value] * 3)).save(path)
    names = [str(path) for path in paths]
    assert main(["compare", *names]) == 1
    assert "1 worse by more than the spread and a factor of 1.1" in capsys.readouterr().out
    assert main(["compare", *names, "--bound", "1.5"]) == 0
    assert main(["compare", *reversed(names)]) == 0
    run_of(measured("other", None, aimu=[1.0])).save(paths[1])
    with pytest.raises(SystemExit) as refused:
        main(["compare", *names])
    assert refused.value.code == 2


def test_the_largest_changes_are_listed_first():
    before = run_of(measured("a", None, aimu=[1.0] * 3), measured("b", None, aimu=[1.0] * 3))
    after = run_of(measured("a", None, aimu=[1.0] * 3), measured("b", None, aimu=[2.0] * 3))
    lines = text(compared(before, after), 1.1).splitlines()
    assert lines[1].split() == ["2.00", "worse", "!", "cpu", "sync:", "b,", "aimu"]
    assert lines[2].split()[1] == "same"


def test_tables_show_ratios_with_their_spread_and_sizes_as_rows():
    comparison = measured(plain=[0.002, 0.002, 0.002], aimu=[0.001, 0.0008, 0.0012])
    sizes = [measured("history", None, size=size, aimu=[1e-6 * size]) for size in (10, 10_000)]
    assert table([comparison, *sizes]).splitlines() == [
        "| CPU | plain | aimu |",
        "| --- | --- | --- |",
        "| call | 2.00 ms | 1.00 ms · **0.50** (0.45 to 0.55) |",
        "",
        "history: CPU for each call",
        "",
        "| messages | aimu |",
        "| --- | --- |",
        "| 10 | 10.0 µs |",
        "| 10,000 | 10.0 ms |",
    ]


def test_a_table_of_many_ways_shows_one_quantity():
    what = Measured("call", "call", ("cpu", "wall"), None)
    costs = {f"way {number}": [Cost(0.001, 0.002)] for number in range(5)}
    shown = table([Measurement.of(what, costs)]).split("\n\n")
    assert [lines.splitlines()[0].split(" | ")[0] for lines in shown] == ["| CPU", "| time"]


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (1.5, "cpu", "1.50 s"),
        (0.0123, "wall", "12.3 ms"),
        (3e-9, "cpu", "3.00 ns"),
        (0, "cpu", "0"),
        (1536, "memory", "1.50 KiB"),
        (100, "memory", "100 B"),
        (-2048, "memory", "-2.00 KiB"),
    ],
)
def test_amounts_have_three_digits_and_a_unit_that_suits_them(value, unit, said):
    assert amount(value, unit) == said


def test_the_report_replaces_what_stands_between_the_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Page\n<!-- measured: sync -->\nold\n<!-- end: sync -->\nprose\n", "utf8")
    drawn = []

    def draw(name, measurements, folder):
        drawn.append(name)
        return [folder / f"{name}.light.svg"]

    runs = [
        run_of(measured(against=None, aimu=[1.0])),
        run_of(measured(against=None, aimu=[2.0])),
        run_of(measured(against=None, aimu=[3.0]), measured(program="other", aimu=[1.0]), backend="trio"),
    ]
    assert report(runs, page, tmp_path / "pictures", draw) == ["other"]
    said = page.read_text("utf8")
    assert said.startswith("# Page\n<!-- measured: sync -->\n")
    assert said.endswith("\n<!-- end: sync -->\nprose\n")
    assert "old" not in said
    assert "| call | 1.00 s |" not in said
    assert said.index("on asyncio") < said.index("| call | 2.00 s |") < said.index("on trio")
    assert "pictures/sync.dark.svg" in said
    assert "pictures/sync-trio.light.svg" in said
    assert drawn == ["sync", "sync-trio", "other-trio"]
    report(runs, page, tmp_path / "pictures", draw)
    assert page.read_text("utf8") == said


def test_sections_without_new_figures_stay():
    page = "<!-- measured: a -->\nA\n<!-- end: a -->\n<!-- measured: b -->\nB\n<!-- end: b -->\n"
    said, missing = filled(page, {"b": r"new \1"})
    assert said == "<!-- measured: a -->\nA\n<!-- end: a -->\n<!-- measured: b -->\n\nnew \\1\n\n<!-- end: b -->\n"
    assert missing == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_ways_take_turns_on_the_chosen_backend(backend):
    import sniffio

    turns = []

    async def plain(clock, size=None):
        turns.append(sniffio.current_async_library())
        clock.record(2.0, 2.0)

    def ours(clock, size):
        turns.append(size)
        clock.record(1.0, 1.0)

    published, steps = [], []
    bench = Bench(
        backend=backend, rounds=2, publish=published.append, step=lambda *step: steps.append((len(turns), *step))
    )
    bench.grow("work", [10, 20], {"plain": plain, "aimu": ours}, along="m")
    assert turns == [backend, 10, backend, 10, backend, 20, backend, 20]
    bench.compare("call", {"plain": plain}, against="plain")
    assert turns[-2:] == [backend, backend]
    assert [m.what.title for m in published] == ["work, 10 m", "work, 20 m", "call"]
    assert steps[:2] == [(0, "work, 10 m", 1, 2), (2, "work, 10 m", 2, 2)]


def test_a_way_must_measure_once():
    def nothing(clock):
        pass

    def twice(clock):
        for _ in range(2):
            with clock.over():
                pass

    for way, said in ((nothing, "nothing was measured"), (twice, "measures one block")):
        with pytest.raises(RuntimeError, match=said):
            Bench(rounds=1).compare("call", {"way": way})


def test_the_clock_counts_the_cpu_of_this_process_for_each_operation():
    clock = Clock()
    with clock.over(10):
        sum(range(200_000))
    assert 0 < clock.cost.cpu <= clock.cost.wall * 1.5
    assert clock.cost.memory is None


def test_memory_is_the_growth_of_the_peak_in_a_new_process():
    published = []
    bench = Bench(rounds=1, publish=published.append)
    bench.compare("list", {"large": large}, apart=True, shows=("memory",))
    assert published[0].figure("large", "memory").median == pytest.approx(40_000_000, rel=0.2)


def large(clock):
    with clock.over(memory=True):
        b"x" * 40_000_000


def test_the_estimate_follows_the_pace_of_what_has_ended():
    progress = Progress({"a": 10.0, "b": 30.0})
    progress._done["a"] = 20.0
    progress.begin("b")
    assert progress.left() == pytest.approx(60.0, abs=0.5)


def test_programs_are_estimated_as_in_the_newest_run_of_this_kind(tmp_path):
    (tmp_path / "a.json").write_text('{"schema": 0}')
    for name, quick, seconds in (("b", False, 20.0), ("c", False, 30.0), ("d", True, 1.0)):
        run = run_of()
        run.options["quick"] = quick
        run.seconds = {"sync": seconds, "gone": 5.0}
        run.save(tmp_path / f"{name}.json")
    stated = programs()["imports"][0]
    assert estimates(["sync", "imports"], run_of(), tmp_path) == {"sync": 30.0, "imports": stated}


def test_every_program_says_what_it_measures_and_how_long_it_takes():
    readme, page = ((ROOT / name).read_text("utf8") for name in ("benchmarks/README.md", "docs/performance.md"))
    found = programs()
    assert {"over_http", "sync", "imports"} <= set(found)
    for name in found:
        source = (ROOT / "benchmarks" / f"{name}.py").read_text("utf8")
        assert ast.get_docstring(ast.parse(source)), name
        assert re.search(r"^SECONDS = \(", source, re.MULTILINE), name
        assert f"| `{name}` |" in readme
        assert f"<!-- measured: {name} -->" in page
        assert f"<!-- end: {name} -->" in page


def test_a_program_runs_from_the_command_line(tmp_path):
    path = tmp_path / "run.json"
    command = [sys.executable, "-m", "benchmarks", "sync", "--quick", "--rounds", "1", "--results", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "[1/1] sync: call, round 1 of 1" in done.stderr
    assert {measurement.program for measurement in Results.load(path).measurements} == {"sync"}


def test_unknown_programs_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["nonsense"])
    assert "there is no program nonsense" in capsys.readouterr().err


@pytest.mark.parametrize("name", NEEDS)
def test_programs_that_compare_with_others_say_what_they_need(name, capsys):
    with pytest.raises(SystemExit):
        main([name])
    assert f"the program {name} needs --{name.replace('_', '-')}" in capsys.readouterr().err


def test_every_peer_has_a_side_with_all_works():
    noxfile = ast.parse((ROOT / "noxfile.py").read_text("utf8"))
    (peers,) = (
        node.value
        for node in noxfile.body
        if isinstance(node, ast.AnnAssign | ast.Assign) and "PEERS" in ast.unparse(node)[:12]
    )
    for name in [*ast.literal_eval(peers), "aimu"]:
        side = ast.parse((ROOT / f"benchmarks/sides/{name}.py").read_text("utf8"))
        assert ast.get_docstring(side)
        assert any(ast.unparse(node).startswith("IMPORT = ") for node in side.body)
        (made,) = (node for node in side.body if isinstance(node, ast.ClassDef) and node.name == "Side")
        methods = {node.name for node in made.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert {"chat", "agent", "stream", "aclose"} <= methods
