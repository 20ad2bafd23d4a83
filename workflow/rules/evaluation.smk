rule posttrain:
    input:
        INPUTS.predictions,
    output:
        ARM.posttraining,
    log:
        f"logs/{P.scale}/{{study}}/{{arm}}/posttrain.log",
    priority: PLAN.priority
    resources:
        **ASK.of("posttrain"),
    params:
        study=P.resolved,
        key=KEYS.results,
    shell:
        "exec python -m rescan posttrain {params.study:q} --arm {wildcards.arm:q} --log {log:q}"


rule evaluate:
    input:
        INPUTS.predictions,
        INPUTS.external,
        INPUTS.diagnoses,
        INPUTS.histories,
        ARM.posttraining,
        P.manifest,
    output:
        ARM.metrics,
        report(
            directory(ARM.figures),
            patterns=["{figure}.png"],
            category="{study}",
            subcategory="evaluation",
            labels={"arm": "{arm}"},
        ),
    log:
        f"logs/{P.scale}/{{study}}/{{arm}}/evaluate.log",
    priority: PLAN.priority
    resources:
        **ASK.of("evaluate"),
    params:
        study=P.resolved,
        key=KEYS.results,
    shell:
        "exec python -m rescan evaluate {params.study:q} --arm {wildcards.arm:q} --log {log:q}"


rule gradcam:
    input:
        INPUTS.store,
        INPUTS.predictions,
        INPUTS.models,
        ARM.posttraining,
        INPUTS.beside,
    output:
        report(
            directory(ARM.gradcam),
            patterns=["{figure,sheet|checks}.png"],
            category="{study}",
            subcategory="Grad-CAM",
            labels={"arm": "{arm}"},
        ),
    log:
        f"logs/{P.scale}/{{study}}/{{arm}}/gradcam.log",
    priority: PLAN.priority
    threads: CONFIG.threads
    resources:
        **ASK.of("gradcam"),
    params:
        study=P.resolved,
        key=KEYS.sections("gradcam"),
    shell:
        "exec python -m rescan gradcam {params.study:q} --arm {wildcards.arm:q}"
        " --log {log:q}"


rule compare:
    input:
        INPUTS.metrics,
        P.audit,
    output:
        P.comparison,
        report(
            directory(P.comparison_figures),
            patterns=["{figure}.png"],
            category="{study}",
            subcategory="comparison",
        ),
    log:
        f"logs/{P.scale}/{{study}}/compare.log",
    priority: PLAN.priority
    resources:
        **ASK.of("compare"),
    params:
        study=P.resolved,
        key=KEYS.sections("published", "claims", "ablations"),
        against=KEYS.comparisons,
        arms=INPUTS.arm_options,
    shell:
        "exec python -m rescan compare {params.study:q} {params.arms:q} --log {log:q}"
