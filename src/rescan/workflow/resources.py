"""What a job asks for: threads, memory, time, disk, a GPU, from the study and the size of its data."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from typing import Any, Protocol

from rescan.errors import RescanError
from rescan.workflow.partitions import Limits, limits
from rescan.workflow.plan import Plan
from rescan.workflow.wildcards import Wildcards
from rescan.workload.data_size import DataSize
from rescan.workload.jobs import Jobs
from rescan.workload.rates import NOMINAL_CPU, NOMINAL_GPU
from rescan.workload.work import Work

MOST_PROCESSES = 8  # of a light step on a cluster; a profile's set-threads overrides it
MEGAPIXELS_A_PROCESS = 10  # fewer are not worth a process
SAFETY = 2  # on times and memory
SHORTEST, SHORTEST_TRAINING, LONGEST = 10, 30, 24 * 60  # minutes; a training that needs longer goes on in its retry
CUDA_MB = 3000  # of a process that uses a GPU, beside what a CPU would need
ON_GPU = ("pretrain", "train", "infer", "gradcam")
SIZES = "RESCAN_DATA_SIZES"

Amount = Callable[..., int]


class Settings(Protocol):
    """Snakemake's settings of resources."""

    cores: int | None  # None in a dry run without --cores
    default_resources: Any
    overwrite_resources: Any


class Workflow(Protocol):
    """What is asked of Snakemake's workflow, while it plans."""

    resource_settings: Settings
    local_exec: bool
    remote_exec: bool


class JobResources:
    """The resources of the rules, as functions of a job's wildcards.

    A job of a cluster plans itself again, on its node, when the data may be there that were not there when it was
    submitted. So it takes the sizes of the data that it was submitted with: its time limit is known by them.
    """

    def __init__(self, plan: Plan, workflow: Workflow) -> None:
        """Take the plan, and Snakemake's workflow, whose executor is known only after the Snakefile was read."""
        self.plan, self.workflow = plan, workflow
        self._found: dict[tuple[str, ...], Work] = {}
        os.environ.setdefault(SIZES, "{}")

    @property
    def on_cluster(self) -> bool:
        """Whether jobs run elsewhere, within limits of memory and time."""
        return self.workflow.remote_exec or not self.workflow.local_exec

    @cached_property
    def limits(self) -> Limits:
        """What the nodes of a SLURM cluster allow; nothing is limited elsewhere."""
        return limits(self.workflow.resource_settings) if self.on_cluster else Limits()

    @property
    def cores(self) -> int:
        """Cores of this machine that jobs may use."""
        return self.workflow.resource_settings.cores or 1

    def check_cores(self) -> None:
        """Check that there are any, without which Snakemake waits for ever.

        Raises:
            RescanError: There are none.
        """
        if self.workflow.resource_settings.cores == 0:
            raise RescanError("--cores 0: no job can run on no core; give 1 or more, or all")

    def of(self, rule: str) -> dict[str, Amount | int]:
        """All resources of a rule but its threads, as Snakemake names them."""
        asked: dict[str, Amount | int] = {
            "mem_mb": self.memory(rule),
            "runtime": self.minutes(rule),
            "disk_mb": self.disk(rule),
        }
        return {**asked, "gpu": int(self.uses_gpu)} if rule in ON_GPU else asked

    def processes(self, rule: str) -> Amount:
        """Processes of a light step: all cores here; on a cluster as many as are worth it."""

        def amount(wildcards: Wildcards) -> int:
            if not self.on_cluster:
                return self.cores
            return max(
                1,
                min(
                    MOST_PROCESSES, self.limits.cores, int(self.work(rule, wildcards).megapixels / MEGAPIXELS_A_PROCESS)
                ),
            )

        return amount

    def memory(self, rule: str) -> Amount:
        """Megabytes; more with each attempt, but not more than there is on any node."""

        def amount(wildcards: Wildcards, threads: int, attempt: int) -> int:
            work = self.work(rule, wildcards)
            own = work.peak_mb(threads, gpus=self.uses_gpu)
            if work.on_gpu and self.uses_gpu:
                own += CUDA_MB
            return max(math.ceil(own * SAFETY), min(math.ceil(own * SAFETY * attempt), self.limits.memory_mb))

        return amount

    def minutes(self, rule: str) -> Amount:
        """Minutes on a slow machine, more with each attempt; 0, no limit, where no executor enforces one."""

        def amount(wildcards: Wildcards, threads: int, attempt: int) -> int:
            if not self.on_cluster:
                return 0
            work = self.work(rule, wildcards)
            rates = NOMINAL_GPU if work.on_gpu and self.uses_gpu else NOMINAL_CPU
            shortest = SHORTEST_TRAINING if work.images else SHORTEST
            needed = rates.seconds(work, processes=threads) * SAFETY / 60
            return min(LONGEST, self.limits.minutes, math.ceil(max(shortest, needed) * attempt))

        return amount

    def disk(self, rule: str) -> Amount:
        """Megabytes that a job writes, what it removes again included."""

        def amount(wildcards: Wildcards) -> int:
            work = self.work(rule, wildcards)
            return math.ceil((work.disk_mb + work.scratch_mb) * SAFETY) + 100

        return amount

    @property
    def uses_gpu(self) -> bool:
        """Whether jobs may use a GPU."""
        return self.plan.config.device != "cpu"

    def work(self, rule: str, wildcards: Wildcards) -> Work:
        """The work of a job."""
        names = ("ensemble",) if rule == "ensemble" else ("arm", "autoencoder", "preparation")
        of = [getattr(wildcards, name) for name in names if hasattr(wildcards, name)]
        key = (rule, wildcards.study, *of)
        if key not in self._found:
            self._found[key] = getattr(self.jobs[wildcards.study], rule)(*of)
        return self._found[key]

    @cached_property
    def jobs(self) -> dict[str, Jobs]:
        """The jobs of each study, for the data that are there, or were when this job was submitted."""
        submitted = json.loads(os.environ.get(SIZES, "{}")) if self.workflow.remote_exec else {}
        jobs = {
            name: Jobs(study, {origin: DataSize(**size) for origin, size in submitted.get(name, {}).items()})
            for name, study in self.plan.everything.items()
        }
        sizes = {name: {origin: asdict(size) for origin, size in own.sizes.items()} for name, own in jobs.items()}
        os.environ[SIZES] = json.dumps(sizes)
        return jobs
