# The page of a study stands when the study is done. Each job also makes results/index.html again, of all studies that lie
# there: it is no output, because two workflows in one folder could not both have it.
rule report:
    input:
        INPUTS.to_report,
    output:
        report(P.page, category="{study}", subcategory="page"),
        P.card,
        directory(P.tables),
    log:
        f"logs/{P.scale}/{{study}}/report.log",
    priority: PLAN.priority
    resources:
        **ASK.of("report"),
    params:
        study=P.resolved,
        key=KEYS.whole,
    shell:
        "exec python -m rescan report {params.study:q} --log {log:q}"
