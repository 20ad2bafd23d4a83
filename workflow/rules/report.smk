rule report:
    input:
        expand(P.comparison, study=RUN.studies),
        expand(P.audit, study=RUN.studies),
        expand(P.explore, study=RUN.studies),
        [of_arms(study, "metrics.json") for study in RUN.studies],
        [of_arms(study, "gradcam") for study in RUN.studies],
    output:
        report(P.page, category="page"),
    log:
        f"logs/{P.scale}/report.log",
    params:
        studies=expand(P.resolved, study=RUN.studies),
        key=[study.key() for study in RUN.studies.values()],
    shell:
        "exec python -m rescan report {params.studies:q} --log {log:q}"
