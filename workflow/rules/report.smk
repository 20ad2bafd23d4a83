rule report:
    input:
        [everything(study) for study in RUN.studies],
    output:
        report(P.page, category="page"),
    log:
        f"logs/{P.scale}/report.log",
    params:
        studies=expand(P.resolved, study=RUN.studies),
        key=[study_key(study) for study in RUN.studies.values()],
    shell:
        "exec python -m rescan report {params.studies:q} --log {log:q}"
