def of_scored_arms(pattern):
    """The files of a pattern with {study} and {arm}, for every arm of every study that the page shows."""
    return [
        pattern.format(study=study, arm=arm)
        for study in RUN.studies
        for arm in arms_to_report(study)
    ]


STUDY_FILES = expand(P.resolved, study=RUN.studies)


rule report:
    input:
        STUDY_FILES,
        expand(P.comparison, study=RUN.studies),
        expand(P.audit, study=RUN.studies),
        expand(P.explore, study=RUN.studies),
        of_scored_arms(f"{ARM_FOLDER}/metrics.json"),
        of_scored_arms(f"{ARM_FOLDER}/gradcam"),
    output:
        report(P.page, category="page"),
    log:
        f"logs/{P.scale}/report.log",
    params:
        studies=STUDY_FILES,
    shell:
        "exec python -m rescan report {params.studies:q} --log {log:q}"
