"""comparison.csv against the metrics that it is of."""

import json
from pathlib import Path

import pytest
from tests.fuzz_results import PATHS, finished_study

from rescan.errors import RescanError
from rescan.results.comparison import check_comparison, read_comparison


def test_a_value_that_is_not_that_of_the_metrics_is_named():
    with finished_study("metrics") as study:
        check_comparison(study)
        line = next(
            number
            for number, row in enumerate(read_comparison(PATHS.comparison), 2)
            if (row.arm, row.metric) == ("two", "accuracy") and row.value is not None
        )
        file = Path(PATHS.arm("two").metrics)
        metrics = json.loads(file.read_bytes())
        scores = metrics["parts"]["test"]["image"]["metrics"]["accuracy"]
        scores["value"] = (scores["low"] + scores["value"]) / 2
        file.write_text(json.dumps(metrics))
        fault = (
            rf"comparison\.csv: line {line}: accuracy of two is .*, not as in its metrics\.json; .*run compare again"
        )
        with pytest.raises(RescanError, match=fault):
            check_comparison(study)
