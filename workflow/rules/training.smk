rule train:
    input:
        store_files,
        P.splits,
        weights_file,
    output:
        f"{RUN_FOLDER}/model.safetensors",
        f"{RUN_FOLDER}/history.csv",
        f"{RUN_FOLDER}/network.json",
        report(
            f"{RUN_FOLDER}/curves.png",
            category="{study}",
            subcategory="training",
            labels={"arm": "{arm}", "fold": "{fold}", "seed": "{seed}"},
        ),
    log:
        f"logs/{P.scale}/{{study}}/{{arm}}/train_fold{{fold}}_seed{{seed}}.log",
    threads: CONFIG.threads
    resources:
        gpu=GPU,
    params:
        study=P.resolved,
        key=lambda wildcards: RUN.studies[wildcards.study].recipe_key(wildcards.arm),
        state=P.state("{arm}", "{fold}", "{seed}"),
    shell:
        "exec python -m rescan train {params.study:q} --arm {wildcards.arm:q} --fold {wildcards.fold} --seed {wildcards.seed}"
        " --log {log:q}"


rule infer:
    input:
        store_files,
        P.splits,
        model=f"{RUN_FOLDER}/model.safetensors",
    output:
        f"{RUN_FOLDER}/predictions.csv",
        f"{RUN_FOLDER}/diagnosis.json",
    log:
        f"logs/{P.scale}/{{study}}/{{arm}}/infer_fold{{fold}}_seed{{seed}}.log",
    threads: CONFIG.threads
    resources:
        gpu=GPU,
    params:
        study=P.resolved,
    shell:
        "exec python -m rescan infer {params.study:q} --arm {wildcards.arm:q} --fold {wildcards.fold} --seed {wildcards.seed}"
        " --log {log:q}"
