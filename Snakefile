"""What gets made. `snakemake --cores 8` runs the studies of config.yaml; `make demo` is the same on phantoms."""


include: "workflow/rules/common.smk"


container: IMAGE


include: "workflow/rules/data.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/report.smk"


wildcard_constraints:
    study="[A-Za-z0-9_][A-Za-z0-9_.-]*(/external/[A-Za-z0-9_][A-Za-z0-9_.-]*)?",
    arm="[A-Za-z0-9_][A-Za-z0-9_.-]*",
    autoencoder="[A-Za-z0-9_][A-Za-z0-9_.-]*",
    preparation="[A-Za-z0-9_][A-Za-z0-9_.-]*",
    fold="[0-9]+",
    seed="[0-9]+",


rule all:
    default_target: True
    input:
        expand(P.page, study=PLAN.studies),
        [INPUTS.everything(study) for study in PLAN.studies],


onstart:
    try:
        ASK.check_cores()
        if workflow.executor_plugin.name == "slurm":
            check_partitions(workflow.resource_settings, CONFIG.threads)
        PLAN.write_studies()
        SITE.start(workflow.dag)
    except RescanError as error:
        raise WorkflowError(str(error))


onerror:
    SITE.end(succeeded=False)
    print(
        "Some jobs failed; their messages are above and under logs/. What is done is kept. For a page of it, add"
        " partial=true to your --config, as in: snakemake --cores 1 --config partial=true",
        file=sys.stderr,
    )


onsuccess:
    SITE.end(succeeded=True)
