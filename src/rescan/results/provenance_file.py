"""What a step's call read and wrote, with which code, where and when: one file per call under `provenance/`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Optional

from pydantic import ConfigDict, Field
from typing_extensions import Self

from rescan.checkout import Changes, in_words
from rescan.errors import RescanError
from rescan.files import fingerprint
from rescan.paths import Paths
from rescan.results.damage import damaged
from rescan.results.json_result import Count, JsonResult, Part
from rescan.study import Study


class FileState(Part):
    """A file as it was.

    Attributes:
        path: Relative to the folder that the step was run in.
        bytes: Its size.
        sha256: Of its content, in hexadecimal; None of an input that was written again while the step ran.
        modified: Its time of change, in nanoseconds since 1970: with the size, what a file is known again by.
    """

    path: str
    bytes: Count
    sha256: Optional[str]
    modified: int


class CodeUsed(Part):
    """The code that ran (see `rescan.checkout.Code`)."""

    commit: str
    changes: Changes
    checksum: str

    @property
    def words(self) -> str:
        """Its commit in short, and whether that is all of the code."""
        return in_words(self.commit, self.changes)


class MachineUsed(Part):
    """What a step ran on; no name of a machine or a person.

    Attributes:
        system: Operating system and processor.
        image: The flavor or the name of the container image; None outside of one, or where it does not tell.
        device: `cpu` or the name of the GPU; None of steps without torch.
        threads: Torch's threads; None of steps without torch.
    """

    system: str
    image: Optional[str]
    device: Optional[str]
    threads: Optional[int]


class Provenance(JsonResult):
    """A step's call.

    Attributes:
        done: The step; `step` in the file.
        command: Its words, without the log's; of a path outside the working folder only the last part.
        study: The study's name; "" of a step that serves all.
        name: Of the arm, the preparation, the autoencoder or the encoder, where the step is of one.
        fold: The fold, where the step is of one.
        seed: The seed, where the step is of one.
        seeds: The seed of the run, or those of the study.
        key: The fingerprint of what the step depends on in the study file; "" where none is known.
        code: What made the outputs: of a training that was resumed, all code that it was trained with.
        versions: Of Python, Rescan and the libraries that were used.
        machine: What it ran on.
        started: When, in UTC.
        seconds: How long it took.
        cpu_seconds: Processor time of this process and its workers.
        peak_memory: The most memory that this process held, in bytes.
        inputs: The files that it read.
        outputs: The files that it wrote.
        seal: A fingerprint of all the rest, by which damage to this file is known.
    """

    model_config = ConfigDict(populate_by_name=True)
    step: ClassVar[str] = "its step"

    done: str = Field(alias="step")
    command: list[str]
    study: str
    name: Optional[str]
    fold: Optional[int]
    seed: Optional[int]
    seeds: list[int]
    key: str
    code: list[CodeUsed]
    versions: dict[str, str]
    machine: MachineUsed
    started: str
    seconds: float
    cpu_seconds: float
    peak_memory: Count
    inputs: list[FileState]
    outputs: list[FileState]
    seal: str = ""

    def write(self, path: str | Path) -> None:
        """Write the file with its seal."""
        JsonResult.write(self.model_copy(update={"seal": self.content_key}), path)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read and check the file.

        Raises:
            RescanError: It is missing, or not as it was written.
        """
        found = super().read(path)
        if found.seal != found.content_key:
            raise damaged(path, found.done, "is not as it was written")
        return found

    @property
    def content_key(self) -> str:
        """The fingerprint of all but the seal."""
        return fingerprint(self.model_dump(mode="json", exclude={"seal"}))

    @property
    def title(self) -> str:
        """The call in words, such as "train of cnn5, fold 0, seed 1"."""
        run = [f"{word} {number}" for word, number in (("fold", self.fold), ("seed", self.seed)) if number is not None]
        return self.done + (f" of {', '.join([self.name, *run])}" if self.name else "")


def provenance_path(step: str, paths: Paths | None, *names: object) -> str:
    """Where the provenance of a call lies.

    Args:
        step: The step.
        paths: The study's; None of a step that serves all.
        names: What the call is of: an arm, a fold, a seed; those that are None do not count.
    """
    folder = Paths.provenance_of_all() if paths is None else paths.provenance
    return f"{folder}/{'_'.join([step, *(str(name) for name in names if name is not None)])}.json"


def provenance_of(study: Study) -> tuple[dict[str, Provenance], list[str]]:
    """Read all provenance of a study and of its external data sets.

    Returns:
        By path; and a line for each file that is damaged.
    """
    found, faults = dict[str, Provenance](), list[str]()
    for own in (study, *study.externals.values()):
        calls, damages = read_provenance(Paths(own.scale, own.name).provenance)
        found.update(calls)
        faults += damages
    return found, faults


def read_provenance(folder: str) -> tuple[dict[str, Provenance], list[str]]:
    """Read all provenance in a folder.

    Returns:
        By path; and a line for each file that is damaged.
    """
    found, faults = dict[str, Provenance](), list[str]()
    for file in sorted(Path(folder).glob("[!.]*.json")):
        try:
            found[file.as_posix()] = Provenance.read(file)
        except RescanError as error:
            faults.append(str(error))
    return found, faults
