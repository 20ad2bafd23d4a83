"""`python -m tests.kill [--kills 300] [--pairs 60] [--workflows 20]`: steps and workflows killed at random moments.

A small study on phantoms is run once undisturbed. Then, for each kill, a step gets SIGKILL, SIGTERM or SIGINT at a
random moment: it, its process group (as by Ctrl-C), or one of its pool's processes. Or Snakemake does, with its jobs
left alive. The same command is run again (behind `--unlock`, where Snakemake asks for it). Then every file must equal
that of the undisturbed run, byte for byte but for times; none may be left over, no process, and no lock.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from kill_steps import STEPS, kill_step, measure, run_twice
from kill_workflow import kill_workflow, run_undisturbed


def main() -> int:
    """Kill, and say what went wrong; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300, help="of single steps")
    parser.add_argument("--pairs", type=int, default=60, help="of single steps that run at once")
    parser.add_argument("--workflows", type=int, default=20, help="kills of Snakemake")
    parser.add_argument("--minutes", type=float, default=1e9, help="end before that many are over")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--use-singularity", nargs="?", const="cu113", help="run Snakemake's jobs in this image")
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` would have the steps ignore it
    draw, until = random.Random(given.seed), time.monotonic() + 60 * given.minutes
    count: Counter[str] = Counter()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="rescan-kill-") as folder:
        whole, flow = Path(folder, "steps-whole"), Path(folder, "flow-whole")
        seconds = measure(whole, list(STEPS)) if given.kills + given.pairs else {}
        of_rules = run_undisturbed(flow, given.use_singularity) if given.workflows else {}
        print(json.dumps({name: round(value, 1) for name, value in seconds.items()}), flush=True)
        often = [value**-0.5 for value in seconds.values()]  # quick steps more often
        plan = [kill_step] * given.kills + [run_twice] * given.pairs + [kill_workflow] * given.workflows
        for number, what in enumerate(draw.sample(plan, len(plan)), 1):
            if time.monotonic() > until:
                break
            if what == kill_workflow:
                how, faults = kill_workflow(draw, flow, of_rules, given.use_singularity)
            else:
                [name] = draw.choices(list(seconds), often)
                how, faults = what(draw, name, whole, seconds[name])
            count[f"{what.__name__} {how.partition(':')[0]}"] += 1
            bad += bool(faults)
            print(f"{number}. {how}", *(f"  WRONG: {fault}" for fault in faults[:9]), sep="\n", flush=True)
    print(f"{sum(count.values())} times: {dict(count)}; {bad} went wrong")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
