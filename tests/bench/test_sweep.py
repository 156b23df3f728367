"""All cases in a file: what is there is not measured again, whatever ended the run before."""

import json

import pytest

from gpunn.bench import sweep as module
from gpunn.bench.protocol import Effort
from gpunn.bench.sweep import CASES, OtherRun, Record, sweep
from gpunn.bench.workloads import WORKLOADS

RUN = {"device": "cpu", "implementations": ["gpunn", "products"], "rounds": 5}
ALL = [("W1", 8), ("W4", 8), ("W1", 1), ("W3", 2)]


@pytest.fixture
def measured(monkeypatch):
    """The cases that are measured, with those that are timed in each."""
    found = []

    def compare_each(cases, implementations, **settings):
        for case in cases:
            found.append((case, tuple(implementations)))
            if case == found[0][0] and settings["optimizer"] == "killed":
                raise KeyboardInterrupt
            yield from ({"workload": case[0], "batch_size": case[1], "implementation": n} for n in implementations)

    monkeypatch.setattr(module, "compare_each", compare_each)
    return found


def go(path, cases=ALL, **options):
    record = Record(path, RUN, {"cores": 2})
    settings = {"device": "cpu", "optimizer": "sgd", "effort": Effort(), **options}
    return sweep(record, cases, RUN["implementations"], **settings), record


@pytest.mark.parametrize("device", CASES)
def test_each_case_is_there_once(device):
    cases = CASES[device]
    assert len(set(cases)) == len(cases)
    if device != "sim":
        assert {name for name, _ in cases} == set(WORKLOADS)
        assert len({name for name, _ in cases[:8]}) >= 6  # something of each before more of one


def test_cases_in_their_order(tmp_path, measured):
    left, record = go(tmp_path / "rows")
    both, ours = ("gpunn", "products"), ("gpunn",)  # convolutions have no floor
    assert (left, measured) == (0, [(("W1", 8), both), (("W4", 8), ours), (("W1", 1), both), (("W3", 2), both)])
    assert [(r["workload"], r["batch_size"], r["implementation"]) for r in record.rows([("W1", 1), ("W4", 8)])] == [
        ("W1", 1, "gpunn"),
        ("W1", 1, "products"),
        ("W4", 8, "gpunn"),
    ]


def test_a_run_goes_on_where_it_was_killed(tmp_path, measured):
    path = tmp_path / "rows"
    go(path, ALL[:2])
    whole = path.read_text()
    for end in (1, 40, len(whole.splitlines()[-1])):  # within the line of the last case
        path.write_text(whole[:-end])
        measured.clear()
        left, record = go(path)
        assert (left, [case for case, _ in measured]) == (0, ALL[1:])
        assert path.read_text().startswith(whole)
        assert [r["workload"] for r in record.rows(ALL)] == ["W1", "W1", "W4", "W1", "W1", "W3", "W3"]
    measured.clear()
    assert go(path)[0] == 0
    assert measured == []


def test_a_run_that_ends_before_its_first_line_is_whole(tmp_path, measured):
    path = tmp_path / "rows"
    path.write_text('{"run": {"devi')
    assert go(path)[0] == 0
    assert json.loads(path.read_text().splitlines()[0]) == {"run": RUN, "machine": {"cores": 2}}


def test_ctrl_c_leaves_what_there_is(tmp_path, measured):
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "rows", optimizer="killed")
    measured.clear()
    assert go(tmp_path / "rows")[0] == 0
    assert len(measured) == 4


def test_nothing_begins_when_the_time_is_over(tmp_path, measured, monkeypatch):
    now = iter([0.0, 0.0, 50.0, 100.0, 100.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(now))
    assert go(tmp_path / "rows", seconds=100)[0] == 2
    assert [case for case, _ in measured] == ALL[:2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"run": {"device": "cuda", "rounds": 5, "more": 1}}\n', "device 'cuda' and not 'cpu'.*more 1 and not None"),
        ("something\n", "no file of such a run"),
        ("[1]\n", "no file of such a run"),
        (json.dumps({"run": RUN}) + '\n{"workload": "W1"}\n', "no file of such a run"),
    ],
)
def test_a_file_of_another_run_is_left_alone(tmp_path, text, said):
    path = tmp_path / "rows"
    path.write_text(text)
    with pytest.raises(OtherRun, match=said):
        Record(path, RUN, {})
    assert path.read_text() == text
