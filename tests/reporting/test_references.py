from __future__ import annotations

from types import SimpleNamespace

from rescan.reporting.text.references import constant


def test_of_classes_that_tie_the_first_is_always_answered():
    """Rows are means of runs, whose last digits are no reason to prefer a class."""
    tied = [[0.1, 0.2], [0.3, 0.0]]
    assert sum(tied[0]) != sum(tied[1])
    for rows in (tied, tied[::-1]):
        arm = SimpleNamespace(confusion={"test": rows}, classes=["glioma", "pituitary"])
        assert constant([arm]) == ("glioma", 0.5)


def test_the_most_frequent_class_of_the_first_arm_with_a_test_part():
    without = SimpleNamespace(confusion={}, classes=["a", "b"])
    arm = SimpleNamespace(confusion={"test": [[1, 2], [3, 0]]}, classes=["a", "b"])
    more = SimpleNamespace(confusion={"test": [[1, 2], [2, 4]]}, classes=["a", "b"])
    assert constant([without, more, arm]) == ("b", 6 / 9)
    assert constant([without]) is None
