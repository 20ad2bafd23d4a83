rule posttrain:
    input:
        of_runs("predictions.csv"),
    output:
        f"{ARM_FOLDER}/posttraining.json",
    log:
        f"logs/{P.scale}/{{study}}/{{arm}}/posttrain.log",
    params:
        study=P.resolved,
        key=lambda wildcards: result_key(RUN.studies[wildcards.study], wildcards.arm),
    shell:
        "exec python -m rescan posttrain {params.study:q} --arm {wildcards.arm:q} --log {log:q}"


rule evaluate:
    input:
        of_runs("predictions.csv"),
        of_runs("diagnosis.json"),
        of_runs("history.csv", trained=True),
        of_runs("losses.csv", trained=True),
        f"{ARM_FOLDER}/posttraining.json",
        P.manifest,
    output:
        f"{ARM_FOLDER}/metrics.json",
        report(
            directory(f"{ARM_FOLDER}/figures"),
            patterns=["{figure}.png"],
            category="{study}",
            subcategory="evaluation",
            labels={"arm": "{arm}"},
        ),
    log:
        f"logs/{P.scale}/{{study}}/{{arm}}/evaluate.log",
    params:
        study=P.resolved,
        key=lambda wildcards: result_key(RUN.studies[wildcards.study], wildcards.arm),
    shell:
        "exec python -m rescan evaluate {params.study:q} --arm {wildcards.arm:q} --log {log:q}"


rule gradcam:
    input:
        store_files,
        of_runs("predictions.csv"),
        of_runs("model.safetensors", trained=True),
        f"{ARM_FOLDER}/posttraining.json",
        beside_files,
    output:
        report(
            directory(f"{ARM_FOLDER}/gradcam"),
            patterns=["{figure,sheet}.png"],
            category="{study}",
            subcategory="Grad-CAM",
            labels={"arm": "{arm}"},
        ),
    log:
        f"logs/{P.scale}/{{study}}/{{arm}}/gradcam.log",
    threads: CONFIG.threads
    resources:
        gpu=GPU,
    params:
        study=P.resolved,
        key=key("gradcam"),
    shell:
        "exec python -m rescan gradcam {params.study:q} --arm {wildcards.arm:q}"
        " --log {log:q}"


rule compare:
    input:
        lambda wildcards: of_arms(wildcards.study, "metrics.json"),
    output:
        P.comparison,
    log:
        f"logs/{P.scale}/{{study}}/compare.log",
    params:
        study=P.resolved,
        key=key("published", "claims", "ablations"),
        against=lambda wildcards: [
            RUN.studies[wildcards.study].base(arm)
            for arm in RUN.studies[wildcards.study].arms
        ],
        arms=lambda wildcards: [
            part for arm in arms_to_report(wildcards.study) for part in ("--arm", arm)
        ],
    shell:
        "exec python -m rescan compare {params.study:q} {params.arms:q} --log {log:q}"
