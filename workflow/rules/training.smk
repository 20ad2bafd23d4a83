def store_files(wildcards, preparation):
    folder = Paths(CONFIG.scale, wildcards.study).store(preparation)
    return [f"{folder}/{name}" for name in ("images.npy", "items.csv", "preparation.json")]


def arm_store(wildcards):
    """The packed store that an arm is trained on."""
    return store_files(wildcards, RUN.studies[wildcards.study].arms[wildcards.arm].preparation)


def arm_weights(wildcards):
    """The pretrained weights that an arm starts from, as a declared input: training nodes need no network."""
    network = RUN.studies[wildcards.study].arms[wildcards.arm].network
    return [] if network.weights == "none" else [Paths.weights(network.encoder)]


RUN_FOLDER = P.run("{arm}", "{fold}", "{seed}")


rule train:
    input:
        arm_store,
        P.splits,
        arm_weights,
        study=ancient(P.resolved),
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
    params:
        key=lambda wildcards: RUN.studies[wildcards.study].recipe_key(wildcards.arm),
        state=P.state("{arm}", "{fold}", "{seed}"),
    threads: CONFIG.threads
    resources:
        gpu=GPU,
    shell:
        "exec python -m rescan train {input.study:q} --arm {wildcards.arm:q} --fold {wildcards.fold} --seed {wildcards.seed}"
        " --device {CONFIG.device:q} --threads {CONFIG.threads} --jobs-per-gpu {CONFIG.jobs_per_gpu} --log {log:q}"


rule infer:
    input:
        arm_store,
        P.splits,
        model=f"{RUN_FOLDER}/model.safetensors",
        study=ancient(P.resolved),
    output:
        f"{RUN_FOLDER}/predictions.csv",
        f"{RUN_FOLDER}/diagnosis.json",
    log:
        f"logs/{P.scale}/{{study}}/{{arm}}/infer_fold{{fold}}_seed{{seed}}.log",
    threads: CONFIG.threads
    resources:
        gpu=GPU,
    shell:
        "exec python -m rescan infer {input.study:q} --arm {wildcards.arm:q} --fold {wildcards.fold} --seed {wildcards.seed}"
        " --device {CONFIG.device:q} --threads {CONFIG.threads} --jobs-per-gpu {CONFIG.jobs_per_gpu} --log {log:q}"
