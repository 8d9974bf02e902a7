"""Figures in README are those of the report."""

from pathlib import Path

HOUSE = Path(__file__).parents[2]


def test_the_table_of_speed_is_the_summary_of_the_report():
    summary = (HOUSE / "bench" / "results" / "summary.md").read_text()
    assert summary.count("\n") > 8
    assert (
        f"<!-- bench/results/summary.md -->\n{summary}<!-- end -->"
        in (HOUSE / "README.md").read_text()
    )
