"""Lists of labels: their columns, among those of others, and as text again."""

import numpy as np
import pytest

from lrcore.io.label_lists import LabelLists


def test_columns_are_those_of_other_labels_and_then_new_ones():
    found = LabelLists.of([(7.0, 2.0), (), (5.0,), (2.0, 9.0)])
    among = found.among(np.array([2, 3, 5]))
    assert among.labels.tolist() == [2, 3, 5, 7, 9]
    assert among.lists() == [[2, 7], [], [5], [2, 9]]
    assert among.indicator.toarray().tolist() == [
        [1, 0, 0, 1, 0], [0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [1, 0, 0, 0, 1],
    ]  # fmt: skip
    among = found.among(np.array([3, 7]))
    assert among.labels.tolist() == [3, 7, 2, 5, 9]
    assert [sorted(each) for each in among.lists()] == found.lists()


@pytest.mark.parametrize(
    "lists, labels, lines",
    [
        ([(1.0, 0.5), (1.0, 1.0)], [0.5, 1.0], ["0.5,1.0", "1.0"]),
        ([(1e15,), (-3.0,)], [-3, 10**15], ["1000000000000000", "-3"]),
        ([(), ()], [], ["", ""]),
    ],
)
def test_labels_are_written_as_they_are(lists, labels, lines):
    found = LabelLists.of(lists)
    assert found.labels.tolist() == labels
    assert found.lines() == lines
