rule report:
    input:
        [INPUTS.everything(study) for study in PLAN.studies],
    output:
        report(P.page, category="page"),
    log:
        f"logs/{P.scale}/report.log",
    resources:
        **ASK.of("report"),
    params:
        studies=expand(P.resolved, study=PLAN.studies),
        key=KEYS.studies(),
    shell:
        "exec python -m rescan report {params.studies:q} --log {log:q}"
