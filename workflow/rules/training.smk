rule pretrain:
    input:
        lambda wildcards: store_of(
            wildcards.study, autoencoder_of(wildcards).preparation
        ),
        P.splits,
    output:
        f"{AUTOENCODER_FOLDER}/encoder.safetensors",
        f"{AUTOENCODER_FOLDER}/history.csv",
        f"{AUTOENCODER_FOLDER}/reconstructions.npy",
        report(
            f"{AUTOENCODER_FOLDER}/curves.png",
            category="{study}",
            subcategory="pre-training",
            labels={
                "autoencoder": "{autoencoder}",
                "fold": "{fold}",
                "seed": "{seed}",
            },
        ),
        report(
            f"{AUTOENCODER_FOLDER}/reconstructions.png",
            category="{study}",
            subcategory="pre-training",
            labels={
                "autoencoder": "{autoencoder}",
                "fold": "{fold}",
                "seed": "{seed}",
            },
        ),
    log:
        f"logs/{P.scale}/{{study}}/autoencoders/{{autoencoder}}/pretrain_fold{{fold}}_seed{{seed}}.log",
    threads: CONFIG.threads
    resources:
        gpu=GPU,
    params:
        study=P.resolved,
        key=lambda wildcards: recipe_key(
            RUN.studies[wildcards.study], f"{AUTOENCODERS}{wildcards.autoencoder}"
        ),
        state=P.state(f"{AUTOENCODERS}{{autoencoder}}", "{fold}", "{seed}"),
    shell:
        "exec python -m rescan pretrain {params.study:q} --autoencoder {wildcards.autoencoder:q} --fold {wildcards.fold}"
        " --seed {wildcards.seed} --log {log:q}"


rule train:
    input:
        store_files,
        P.splits,
        weights_file,
    output:
        f"{RUN_FOLDER}/model.safetensors",
        f"{RUN_FOLDER}/history.csv",
        f"{RUN_FOLDER}/losses.csv",
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
        key=lambda wildcards: recipe_key(RUN.studies[wildcards.study], wildcards.arm),
        state=P.state("{arm}", "{fold}", "{seed}"),
    shell:
        "exec python -m rescan train {params.study:q} --arm {wildcards.arm:q} --fold {wildcards.fold} --seed {wildcards.seed}"
        " --log {log:q}"


rule infer:
    input:
        store_files,
        P.splits,
        model_file,
    output:
        f"{RUN_FOLDER}/predictions.csv",
        f"{RUN_FOLDER}/vectors.npy",
        f"{RUN_FOLDER}/diagnosis.json",
    log:
        f"logs/{P.scale}/{{study}}/{{arm}}/infer_fold{{fold}}_seed{{seed}}.log",
    threads: CONFIG.threads
    resources:
        gpu=GPU,
    params:
        study=P.resolved,
        key=lambda wildcards: [
            recipe_of(wildcards).inference.model_dump_json(),
            recipe_of(wildcards).epoch_head,
        ],
    shell:
        "exec python -m rescan infer {params.study:q} --arm {wildcards.arm:q} --fold {wildcards.fold} --seed {wildcards.seed}"
        " --log {log:q}"


rule ensemble:
    input:
        members_predictions,
    output:
        f"{P.run('{ensemble}', '{fold}', '{seed}')}/predictions.csv",
        f"{P.run('{ensemble}', '{fold}', '{seed}')}/diagnosis.json",
    log:
        f"logs/{P.scale}/{{study}}/{{ensemble}}/ensemble_fold{{fold}}_seed{{seed}}.log",
    wildcard_constraints:
        ensemble=ensembles(),
    params:
        study=P.resolved,
        key=lambda wildcards: RUN.studies[wildcards.study]
        .arms[wildcards.ensemble]
        .ensemble.model_dump_json(),
    shell:
        "exec python -m rescan ensemble {params.study:q} --arm {wildcards.ensemble:q} --seed {wildcards.seed}"
        " --log {log:q}"


ruleorder: ensemble > infer
