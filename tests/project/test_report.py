"""The report's own parts: figures and their spread, tables, pages, what is kept of earlier runs."""

import json
import re
import time
from concurrent import futures

import default_quality
import matrices
import numpy as np
import page
import pytest
import report
import time_to_gap
from measure import Measured, in_child, side_by_side
from tables import LABEL, RATIO, SECONDS, VALUE, Section, plain, shown


def test_ratios_go_round_by_round():
    ours, theirs = Measured([1.0, 10.0, 2.0]), Measured([3.0, 30.0, 6.0])
    assert theirs / ours == 3.0
    assert (theirs / ours).quartiles() == (3.0, 3.0)  # the slow spell hit both
    assert float(theirs) / float(ours) == 3.0
    assert (theirs - ours).rounds == (2.0, 20.0, 4.0)
    assert (6.0 / ours).rounds == (6.0, 0.6, 3.0)
    assert (2 * ours).rounds == (ours * 2).rounds == (ours + ours).rounds == (2.0, 20.0, 4.0)


def test_figures_of_other_rounds_are_numbers():
    assert (Measured([2.0, 4.0, 6.0]) / Measured([1.0, 2.0])).rounds == (4 / 3, 8 / 3, 4.0)


def test_calls_take_turns():
    order = []
    found = side_by_side({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert order == ["a", "b"] * 3
    assert [len(t.rounds) for t in found.values()] == [2, 2]


@pytest.mark.parametrize(
    "cell, kind, text",
    [
        (None, RATIO, "\N{EN DASH}"),
        (1234567, LABEL, "1,234,567"),
        (0.0000123, SECONDS, "12.3 µs"),
        (12.3456, RATIO, "12.3"),
        (1234.0, RATIO, "1,234"),
        (0.0, RATIO, "0"),
        (7.3e30, VALUE, "7.3e+30"),
        (0.362149, VALUE, "0.36215"),
        (0.5, "speed", "0.500"),
        (Measured([1.0, 2.0, 3.0]), RATIO, "2.00 (1.50\N{EN DASH}2.50)"),
        (Measured([1e-3, 2e-3, 3e-3]), SECONDS, "2.00 (1.50\N{EN DASH}2.50) ms"),
        (Measured([2.0]), RATIO, "2.00"),
    ],
    ids=lambda value: None if isinstance(value, Measured) else str(value),
)
def test_cells_as_text(cell, kind, text):
    assert shown(plain(cell), kind, spread=True) == text


def test_numbers_that_are_none_stay_out_of_json():
    assert plain(float("nan")) is None
    assert json.loads(json.dumps(plain(Measured([0.5, 0.25])))) == {
        "median": 0.375, "low": 0.3125, "high": 0.4375, "rounds": 2,
    }  # fmt: skip


def filled(section, plan):
    """What a section of the report does."""
    section.leave_out("a <peer>", "pip install peer")
    section.leave_out("a <peer>", "pip install peer")
    table = section.table("A & B", {"what": LABEL, "takes": SECONDS, "x": RATIO}, "how")
    for name, rounds in (("fast", [1.0, 2.0]), ("slow", [3.0, 4.0])):
        table.add(name, Measured(rounds), Measured(rounds) / 2)


@pytest.fixture
def sections(monkeypatch):
    entries = {name: report.Entry(f"Section {name}", "why", filled) for name in ("one", "two")}
    monkeypatch.setattr(report, "SECTIONS", entries)
    plan = report.Plan(quick=True, data=None, counts=[1])
    return lambda name: report.measured(name, plan)


def test_rows_are_printed_as_they_come(sections, capsys):
    sections("one")
    printed = capsys.readouterr().out
    assert re.search(r"=== Section one ===\nwhy\n", printed)
    assert printed.count("a <peer>: left out, pip install peer") == 1
    assert re.search(r"fast +1.50 s +0.750\n +slow +3.50 s +1.75\n", printed)


def test_a_table_refuses_rows_of_another_length():
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        Section("s").table("t", {"a": LABEL, "b": RATIO}).add("only")


def test_a_section_measured_again_takes_its_old_place(sections, tmp_path):
    first = report.write(tmp_path, {"two": sections("two"), "one": sections("one")})
    assert list(report.read(tmp_path)) == list(first) == ["one", "two"]
    again = {**report.read(tmp_path), "one": {**sections("one"), "date": "later"}}
    report.write(tmp_path, again)
    found = report.read(tmp_path)
    assert found["one"]["date"] == "later"
    assert found["two"] == first["two"]


def test_pages_put_ratios_first(sections, tmp_path):
    found = report.write(tmp_path, {"one": sections("one")})
    markdown, html = (path.read_text() for path in page.write(found, {}, tmp_path))
    for text in (markdown, html):
        absolute = re.search(r"1\.50(<small>)? \(", text)
        assert text.index("0.750") < text.index("absolute figures") < absolute.start()
        assert "left out, pip install peer" in text
        assert found["one"]["date"] in text
        assert found["one"]["machine"]["processor"].split("(")[0] in text
    assert "| what | x |" in markdown
    assert "A &amp; B" in html
    assert "a &lt;peer&gt;" in html


def test_pictures_are_drawn_from_what_is_kept(sections, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("PIL")
    import pictures

    kept = sections("one")
    line = {"panel": "", "x": [1, 2], "low": [1, 1.4], "high": [1, 1.8]}
    kept["curves"] = [{**line, "name": name, "y": [1, y]} for name, y in (("a", 1.6), ("b", 1.2))]
    drawn = pictures.draw({"threads": kept}, tmp_path)
    (picture,) = drawn["threads"]
    assert picture.title.startswith("2 threads are 1.2 to 1.6 times as fast")
    _, path = page.write({"threads": kept}, drawn, tmp_path)
    text = path.read_text()
    assert text.count("data:image/png;base64,") == 2
    assert not re.search(r'(src|srcset|href)="(?!data:|#)', text)


def test_a_child_that_takes_too_long_is_ended():
    start = time.perf_counter()
    with pytest.raises(futures.TimeoutError):
        in_child(time.sleep, 60, limit=0.1)
    assert time.perf_counter() - start < 30


@pytest.fixture
def little():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((90, 4))
    return lambda classes: matrices.Matrix("little", X, (X[:, 0] * classes).astype(int) % classes)


@pytest.mark.filterwarnings("ignore")  # fits that have not converged
@pytest.mark.parametrize("task", time_to_gap.TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize("classes", [2, 3])
def test_others_minimise_the_same_objective(little, task, classes):
    matrix = little(classes)
    problem = time_to_gap.Problem(task, matrix.X, matrix.y)
    best = problem.optimum()
    for name, fit, settings in time_to_gap.peers(problem):
        if name != "SGDClassifier" and (classes == 2 or not name.startswith("liblinear")):
            apart = problem.value(*fit(settings[-1])) / best - 1
            assert -1e-6 < apart < 1e-4, name


def test_the_time_is_that_of_the_fastest_setting_that_is_there():
    apart = {1: 0.5, 2: 0.009, 3: 0.02, 4: 0.001, 5: 0.0}
    points = time_to_gap.series(lambda k: (k,), list(apart), apart.get, 0.001, 60)
    assert [point.setting for point in points] == [1, 2, 3, 4]
    assert time_to_gap.fastest(points, 0.001).setting == 4
    assert time_to_gap.fastest(points, 0.01).setting in (2, 4)
    assert time_to_gap.fastest(points, 0.0001) is None
    slow = time_to_gap.series(lambda k: (time.sleep(0.02), k)[1:], [1, 2], apart.get, 0, 0.01)
    assert len(slow) == 1


@pytest.mark.filterwarnings("ignore")
def test_the_gap_has_a_row_for_each_goal(little, monkeypatch):
    monkeypatch.setattr(time_to_gap, "makers", lambda *_: {"little": lambda: little(2)})
    section = Section("s")
    time_to_gap.report_gap(section, None, True, 1, limit=1.0, tasks="^(L2 logistic|ridge)$")
    table, small = section.tables
    assert [row[:2] for row in table.rows] == [
        [task, to] for task in ("L2 logistic", "ridge") for to in ("1%", "0.1%", "0.01%")
    ]
    assert all(row[4]["median"] > 0 for row in table.rows)
    assert [row[0] for row in small.rows] == ["little"]


@pytest.mark.filterwarnings("ignore")
def test_quality_has_a_row_for_each_estimator(little, monkeypatch):
    monkeypatch.setattr(default_quality, "of_classes", lambda *_: {"little": lambda: little(3)})
    monkeypatch.setattr(default_quality, "of_numbers", lambda *_: {})
    section = Section("s")
    default_quality.report_quality(section, None, True)
    log_loss, hinge = section.tables[:2]
    assert [row[1] for row in log_loss.rows] == list(default_quality.CLASSES[0].models)
    assert min(row[2] for row in log_loss.rows[1:]) == 0.0
    assert [row[3] for row in hinge.rows if row[1] == "LinearSVC"] == [1.0]
