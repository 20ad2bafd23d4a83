import atexit
import os
import sys
from pathlib import Path

sys.path.insert(0, f"{workflow.basedir}/src")

from snakemake.exceptions import WorkflowError

from rescan.errors import RescanError
from rescan.paths import Paths
from rescan.workflow.clock import set_right
from rescan.workflow.config import read_config_file
from rescan.workflow.forecast import line_behind_dry_run
from rescan.workflow.environment import bound, check_folder, environment, launch_folder
from rescan.workflow.image import check_binds
from rescan.workflow.inputs import Inputs
from rescan.workflow.partitions import check_partitions
from rescan.workflow.reruns import Keys
from rescan.workflow.plan import Plan
from rescan.workflow.resources import JobResources
from rescan.workflow.site import Site

# It is in bounds then, where Snakemake's own reader would hang or end in a traceback.
try:
    read_config_file(Path(workflow.basedir))
except RescanError as error:
    raise WorkflowError(str(error))


configfile: f"{workflow.basedir}/config.yaml"


try:
    check_folder()
    PLAN = Plan(
        config, Path(workflow.basedir), launch_folder(bool(workflow.overwrite_workdir))
    )
    IN_IMAGE = "apptainer" in map(str, workflow.deployment_settings.deployment_method)
    APPTAINER = workflow.deployment_settings.apptainer_args
    # Snakemake refuses a path with a space in any case, so there is none where no job runs in it.
    IMAGE = PLAN.image(APPTAINER) if IN_IMAGE else "unused"
    if IN_IMAGE:
        check_binds(bound(PLAN), PLAN.local_sources(), APPTAINER)
except RescanError as error:
    raise WorkflowError(str(error))
os.environ.update(environment(PLAN))
set_right(PLAN)

INPUTS, KEYS, ASK = Inputs(PLAN), Keys(PLAN), JobResources(PLAN, workflow)
SITE = Site(PLAN)
atexit.register(line_behind_dry_run, workflow, ASK)


# Executors that do not pass on the whole environment pass this.
envvars:
    "RESCAN_LAUNCHED_IN",
    "RESCAN_DATA_SIZES",


CONFIG = PLAN.config
HOST = f"{workflow.basedir}/envs/host.yaml"

P = PLAN.paths("{study}")
STORE = P.store("{preparation}")
ARM = P.arm("{arm}")
RUN = P.run("{arm}", "{fold}", "{seed}")
ENSEMBLE_RUN = P.run("{ensemble}", "{fold}", "{seed}")
AUTOENCODER = P.autoencoder("{autoencoder}", "{fold}", "{seed}")
