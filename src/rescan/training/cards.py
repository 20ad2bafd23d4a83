"""The machine's GPUs as nvidia-smi tells of them. No torch here: starting CUDA would fix which GPUs a job can see."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

DEVICES, DRIVER = Path("/dev"), Path("/proc/driver/nvidia/version")
FULL = 0.25  # of its memory: a GPU with less of it free, and without a Rescan job, is full of other programs'
HANGS_AFTER = 20  # seconds; without persistence mode nvidia-smi takes up to 3 for each card
LISTED = re.compile(r"(?:GPU (\d+): (.*)|\s+(MIG \S+)\s+Device\s+\d+:) \(UUID: (\S+)\)")


@dataclass(frozen=True)
class Card:
    """A GPU, or a MIG instance of one.

    Attributes:
        name: What `CUDA_VISIBLE_DEVICES` calls it: its UUID, or its number where nvidia-smi doesn't tell.
        number: Of the GPU, as nvidia-smi counts; None if unknown.
        model: Such as `NVIDIA A100-SXM4-40GB`, or `NVIDIA A100-SXM4-40GB MIG 1g.5gb`.
    """

    name: str
    number: int | None = None
    model: str = ""

    def __str__(self) -> str:
        return f"GPU {self.name if self.number is None else self.number}" + (f" ({self.model})" if self.model else "")


@dataclass(frozen=True)
class Memory:
    """A card's memory in MiB, free and in all."""

    free: int
    total: int

    @property
    def full(self) -> bool:
        """Whether too little is free for another program."""
        return self.free < FULL * self.total

    def __str__(self) -> str:
        return f"{self.free / 1024:.1f} of {self.total / 1024:.0f} GiB free"


def ask(*arguments: str) -> list[str]:
    """Ask nvidia-smi; return the lines of its answer, none if it is missing, fails or hangs."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, *arguments]
    try:
        answer = subprocess.run(  # noqa: S603 - fixed words
            command, capture_output=True, text=True, errors="replace", check=True, timeout=HANGS_AFTER
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return answer.stdout.splitlines()


def query(*fields: str) -> list[list[str]]:
    """Ask nvidia-smi for fields of every GPU: a row each, in MiB where it is about memory."""
    lines = ask(f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits")
    rows = [[value.strip() for value in line.split(",")] for line in lines]
    return [row for row in rows if len(row) == len(fields)]


def cards() -> list[Card]:
    """The machine's GPUs; of one that is divided, its MIG instances. CUDA is not started."""
    found: list[Card] = []
    whole = Card("")
    for number, model, instance, uuid in (match.groups() for match in map(LISTED.match, ask("-L")) if match):
        if instance is None:
            whole = Card(uuid, int(number), model)
            found.append(whole)
            continue
        if found and found[-1] == whole:
            found.pop()
        found.append(Card(uuid, whole.number, f"{whole.model} {instance}"))
    if found:
        return found
    numbers = sorted(int(path.name[6:]) for path in DEVICES.glob("nvidia[0-9]*"))
    return [Card(str(number), number) for number in numbers]


def memories() -> dict[str, Memory]:
    """The memory of the GPUs by UUID; one that doesn't tell (as a divided one) is left out."""
    rows = query("uuid", "memory.free", "memory.total")
    return {uuid: Memory(int(free), int(total)) for uuid, free, total in rows if free.isdigit() and total.isdigit()}


def visible(variable: str | None, there: list[Card]) -> list[Card]:
    """The cards that a value of `CUDA_VISIBLE_DEVICES` (None: not set) leaves to a job.

    As CUDA reads it: numbers, UUIDs or their beginnings; what follows a word that is none of these, or that fits no
    card or several, does not count. Numbers are nvidia-smi's (`CUDA_DEVICE_ORDER=PCI_BUS_ID`). A card that is named
    twice counts once (to CUDA, none would be left).
    """
    if variable is None:
        return there
    found = (_card(word.strip(), there) for word in variable.split(","))
    return list(dict.fromkeys(card for card in takewhile(bool, found) if card))


def _card(word: str, there: list[Card]) -> Card | None:
    """The card that a word names; None if it names none."""
    by_number = [card for card in there if word == str(card.number)]
    is_uuid = word.startswith(("GPU-", "MIG-"))
    fitting = by_number or [card for card in there if is_uuid and card.name.startswith(word)]
    if len(fitting) == 1:
        return fitting[0]
    # CUDA knows more names: a divided GPU's number or UUID is its first instance, and older drivers name instances
    # otherwise (MIG-GPU-…/1/0); nothing can be held against a name where nvidia-smi tells none.
    divided = any(card.name.startswith("MIG-") for card in there)
    unlisted = all(card.name.isdecimal() for card in there)
    known = by_number or (is_uuid and not fitting and (divided or unlisted)) or (word.isdecimal() and not there)
    return Card(word) if known else None


def why_none() -> str:
    """Why no GPU is seen, and what to do: the end of a sentence."""
    if not DRIVER.exists():
        return "no NVIDIA driver is loaded (there is no /proc/driver/nvidia); install it"
    if not list(DEVICES.glob("nvidia[0-9]*")):
        return (
            "the NVIDIA driver is loaded, but no /dev/nvidia* is here: start a container with --nv (Apptainer) or "
            "--gpus all (Docker); on a cluster, ask for a GPU; else load the driver anew (nvidia-modprobe)"
        )
    if shutil.which("nvidia-smi") is None:
        return "nvidia-smi is missing; in a container, let the driver's utilities in (NVIDIA_DRIVER_CAPABILITIES)"
    return "nvidia-smi finds no GPU, fails or hangs; run it by hand to see why"


def runs_on(capability: tuple[int, int], architectures: Sequence[str]) -> bool:
    """Whether a torch built for some architectures has kernels for a card.

    Those of `sm_80` run on cards of compute capability 8.0 and of later minor versions (8.6, 8.9), not on 9.0. Those of
    `compute_80` are compiled for any later card when they are first used. (`sm_90a` runs on 9.0 alone.)

    Args:
        capability: Of the card, such as (8, 6).
        architectures: As `torch.cuda.get_arch_list()` gives them; if none is NVIDIA's, nothing is known against it.
    """
    kernels = [
        match.groups() for match in map(re.compile(r"(sm|compute)_(\d+)(\d)(a?)").fullmatch, architectures) if match
    ]
    fitting = [
        (kind == "compute" and (int(major), int(minor)) <= capability)
        or (int(major) == capability[0] and (int(minor) == capability[1] if alone else int(minor) <= capability[1]))
        for kind, major, minor, alone in kernels
    ]
    return any(fitting) or not kernels


def users() -> Iterator[str]:
    """Who computes on the GPUs: `<UUID>: <program> (pid <pid>, <memory> MiB)`."""
    for line in ask("--query-compute-apps=gpu_uuid,pid,process_name,used_memory", "--format=csv,noheader,nounits"):
        parts = [part.strip() for part in line.split(",")]
        if len(parts) >= 4:  # else it is a remark
            uuid, pid, *program, memory = parts
            yield f"{uuid}: {','.join(program)} (pid {pid}, {memory} MiB)"
