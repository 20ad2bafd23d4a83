"""Studies: the sections of a study file as typed models, and how a file becomes a study at one scale."""

from rescan.study.autoencoder import Autoencoder
from rescan.study.data import NO_LABEL, NO_LABELS, SEPARATOR, Data, DataSet, External, Outcome, Source
from rescan.study.explanation import Explanation
from rescan.study.keys import TRAINING_VERSION
from rescan.study.network import Block, EncoderSettings, Head, HeadName, Layers, Network, Norm
from rescan.study.preparation import Preparation
from rescan.study.published import Ablation, Claim, Published
from rescan.study.recipe import ClassWeights, Ensemble, Inference, Posttrain, Recipe, Stage
from rescan.study.resolved import read, write_resolved
from rescan.study.runs import AnyRun, AutoencoderRun, Run
from rescan.study.settings import SCALES, Settings
from rescan.study.splitting import FoldsBy, Split
from rescan.study.stage import Best, EarlyStopping, FromBlock, TrainingStage
from rescan.study.strict import ArmName, AutoencoderName, Name, PreparationName, Strict
from rescan.study.study import Study

__all__ = [
    "NO_LABEL",
    "NO_LABELS",
    "SCALES",
    "SEPARATOR",
    "TRAINING_VERSION",
    "Ablation",
    "AnyRun",
    "ArmName",
    "Autoencoder",
    "AutoencoderName",
    "AutoencoderRun",
    "Best",
    "Block",
    "Claim",
    "ClassWeights",
    "Data",
    "DataSet",
    "EarlyStopping",
    "EncoderSettings",
    "Ensemble",
    "Explanation",
    "External",
    "FoldsBy",
    "FromBlock",
    "Head",
    "HeadName",
    "Inference",
    "Layers",
    "Name",
    "Network",
    "Norm",
    "Outcome",
    "Posttrain",
    "Preparation",
    "PreparationName",
    "Published",
    "Recipe",
    "Run",
    "Settings",
    "Source",
    "Split",
    "Stage",
    "Strict",
    "Study",
    "TrainingStage",
    "read",
    "write_resolved",
]
