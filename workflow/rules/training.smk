rule pretrain:
    input:
        INPUTS.autoencoder_store,
        P.splits,
    output:
        AUTOENCODER.encoder,
        AUTOENCODER.history,
        AUTOENCODER.reconstructions,
        report(
            AUTOENCODER.curves,
            category="{study}",
            subcategory="pre-training",
            labels={
                "autoencoder": "{autoencoder}",
                "fold": "{fold}",
                "seed": "{seed}",
            },
        ),
        report(
            AUTOENCODER.reconstructions_figure,
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
    priority: PLAN.priority
    threads: CONFIG.threads
    resources:
        **ASK.of("pretrain"),
    params:
        study=P.resolved,
        key=KEYS.pretraining,
        state=P.autoencoder_state("{autoencoder}", "{fold}", "{seed}"),
    shell:
        "exec python -m rescan pretrain {params.study:q} --autoencoder {wildcards.autoencoder:q} --fold {wildcards.fold}"
        " --seed {wildcards.seed} --runtime {resources.runtime} --log {log:q}"


rule train:
    input:
        INPUTS.store,
        P.splits,
        INPUTS.start_weights,
    output:
        RUN.model,
        RUN.history,
        RUN.losses,
        RUN.network,
        report(
            RUN.curves,
            category="{study}",
            subcategory="training",
            labels={"arm": "{arm}", "fold": "{fold}", "seed": "{seed}"},
        ),
    log:
        f"logs/{P.scale}/{{study}}/{{arm}}/train_fold{{fold}}_seed{{seed}}.log",
    priority: PLAN.priority
    threads: CONFIG.threads
    resources:
        **ASK.of("train"),
    params:
        study=P.resolved,
        key=KEYS.training,
        state=P.state("{arm}", "{fold}", "{seed}"),
    shell:
        "exec python -m rescan train {params.study:q} --arm {wildcards.arm:q} --fold {wildcards.fold} --seed {wildcards.seed}"
        " --runtime {resources.runtime} --log {log:q}"


# Beside its outputs it writes training_range.safetensors, but for external data, on which nothing is trained.
rule infer:
    input:
        INPUTS.store,
        P.splits,
        INPUTS.model,
    output:
        RUN.predictions,
        RUN.vectors,
        RUN.diagnosis,
    log:
        f"logs/{P.scale}/{{study}}/{{arm}}/infer_fold{{fold}}_seed{{seed}}.log",
    priority: PLAN.priority
    threads: CONFIG.threads
    resources:
        **ASK.of("infer"),
    params:
        study=P.resolved,
        key=KEYS.inference,
    shell:
        "exec python -m rescan infer {params.study:q} --arm {wildcards.arm:q} --fold {wildcards.fold} --seed {wildcards.seed}"
        " --log {log:q}"


rule ensemble:
    input:
        INPUTS.member_predictions,
    output:
        ENSEMBLE_RUN.predictions,
        ENSEMBLE_RUN.diagnosis,
    log:
        f"logs/{P.scale}/{{study}}/{{ensemble}}/ensemble_fold{{fold}}_seed{{seed}}.log",
    wildcard_constraints:
        ensemble=INPUTS.ensembles(),
    priority: PLAN.priority
    resources:
        **ASK.of("ensemble"),
    params:
        study=P.resolved,
        key=KEYS.ensemble,
    shell:
        "exec python -m rescan ensemble {params.study:q} --arm {wildcards.ensemble:q} --seed {wildcards.seed}"
        " --log {log:q}"


ruleorder: ensemble > infer
