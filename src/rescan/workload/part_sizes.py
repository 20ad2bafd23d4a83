"""How many samples lie in each part of a study's data, before they are split."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rescan.study import AnyRun, Study
from rescan.workload.data_size import DataSize

UNKNOWN_SHARE = 0.2  # of the samples, that a column holds out


@dataclass(frozen=True)
class Parts:
    """Samples in each part of a fold; of extra sources by name."""

    train: float
    validation: float
    test: float
    unlabeled: float
    extra: dict[str, int]

    @property
    def predicted(self) -> float:
        """Samples that a run predicts."""
        return self.train + self.validation + self.test + self.unlabeled


def parts_of(study: Study, own: DataSize, extra: dict[str, DataSize]) -> Parts:
    """The parts, as the split will cut them but for the sizes of groups."""
    if study.home:  # an external data set, all of which is tested on
        return Parts(0, 0, own.train + own.test, own.unlabeled, {})
    split = study.split
    share = UNKNOWN_SHARE if isinstance(split.test, dict) else split.test
    test = own.test if isinstance(share, str) else (own.train + own.test) * share
    rest = own.train + own.test - test
    validation = rest * (split.validation if split.fold_count == 1 else 1 / split.fold_count)
    others = {name: size.samples for name, size in extra.items()}
    return Parts(rest - validation, validation, test, own.unlabeled, others)


def parts_of_run(parts: Parts, run: AnyRun) -> Parts:
    """The parts as a run uses them: validated on the test part, it trains on the validation part, too."""
    if run.validates_on_test:
        return replace(parts, train=parts.train + parts.validation, validation=parts.test)
    return parts
