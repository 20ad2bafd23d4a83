ARM_FOLDER = P.arm("{arm}")


rule posttrain:
    input:
        of_runs(f"{RUN_FOLDER}/predictions.csv"),
        study=ancient(P.resolved),
    output:
        f"{ARM_FOLDER}/posttraining.json",
    log:
        f"logs/{P.scale}/{{study}}/{{arm}}/posttrain.log",
    shell:
        "exec python -m rescan posttrain {input.study:q} --arm {wildcards.arm:q} --log {log:q}"


rule evaluate:
    input:
        of_runs(f"{RUN_FOLDER}/predictions.csv"),
        of_runs(f"{RUN_FOLDER}/diagnosis.json"),
        of_runs(f"{RUN_FOLDER}/history.csv"),
        f"{ARM_FOLDER}/posttraining.json",
        study=ancient(P.resolved),
    output:
        f"{ARM_FOLDER}/metrics.json",
        report(
            expand(
                f"{ARM_FOLDER}/{{figure}}.png",
                figure=["confusion", "roc", "reliability", "curves"],
                allow_missing=True,
            ),
            category="{study}",
            subcategory="evaluation",
            labels={"arm": "{arm}"},
        ),
    log:
        f"logs/{P.scale}/{{study}}/{{arm}}/evaluate.log",
    shell:
        "exec python -m rescan evaluate {input.study:q} --arm {wildcards.arm:q} --log {log:q}"


rule gradcam:
    input:
        arm_store,
        of_runs(f"{RUN_FOLDER}/predictions.csv"),
        of_runs(f"{RUN_FOLDER}/model.safetensors"),
        f"{ARM_FOLDER}/posttraining.json",
        study=ancient(P.resolved),
    output:
        report(
            directory(f"{ARM_FOLDER}/gradcam"),
            patterns=["sheet.png"],
            category="{study}",
            subcategory="Grad-CAM",
            labels={"arm": "{arm}"},
        ),
    log:
        f"logs/{P.scale}/{{study}}/{{arm}}/gradcam.log",
    params:
        key=key("gradcam"),
    threads: CONFIG.threads
    resources:
        gpu=GPU,
    shell:
        "exec python -m rescan gradcam {input.study:q} --arm {wildcards.arm:q}"
        " --device {CONFIG.device:q} --threads {CONFIG.threads} --log {log:q}"


rule compare:
    input:
        metrics=lambda wildcards: expand(
            f"{ARM_FOLDER}/metrics.json",
            study=wildcards.study,
            arm=arms_to_report(wildcards.study),
        ),
        study=ancient(P.resolved),
    output:
        P.comparison,
    log:
        f"logs/{P.scale}/{{study}}/compare.log",
    params:
        key=key("published"),
        arms=lambda wildcards: [
            part for arm in arms_to_report(wildcards.study) for part in ("--arm", arm)
        ],
    shell:
        "exec python -m rescan compare {input.study:q} {params.arms:q} --log {log:q}"
