localrules:
    resolve,
    download,
    weights,


# Every step reads the resolved study, but as `ancient`: a new title must not retrain an arm. What a step depends on in it
# is the step's `key`.
rule resolve:
    input:
        lambda wildcards: RUN.files[wildcards.study],
    output:
        P.resolved,
    log:
        f"logs/{P.scale}/{{study}}/resolve.log",
    params:
        options=lambda wildcards: RUN.options(wildcards.study),
    shell:
        "exec python -m rescan resolve {input:q} {params.options:q} --out {output:q} --log {log:q}"


# The only rules that need a network, and so run outside the container.
rule download:
    input:
        study=ancient(P.resolved),
    output:
        P.source,
    log:
        f"logs/{P.scale}/{{study}}/download.log",
    container:
        None
    params:
        key=key("data"),
    run:
        shell("exec python -m rescan download {input.study:q} --log {log:q}")


rule weights:
    output:
        Paths.weights("{encoder}"),
    log:
        "logs/weights/{encoder}.log",
    container:
        None
    run:
        shell("exec python -m rescan weights {wildcards.encoder:q} --log {log:q}")


rule index:
    input:
        P.source,
        study=ancient(P.resolved),
    output:
        P.manifest,
    log:
        f"logs/{P.scale}/{{study}}/index.log",
    params:
        key=key("data.layout", "data.classes", "split.test"),
    shell:
        "exec python -m rescan index {input.study:q} --log {log:q}"


rule audit:
    input:
        P.manifest,
        study=ancient(P.resolved),
    output:
        P.audit,
        P.groups,
    log:
        f"logs/{P.scale}/{{study}}/audit.log",
    threads: workflow.cores
    params:
        key=key("data.classes", "split.group_by"),
    shell:
        "exec python -m rescan audit {input.study:q} --processes {threads} --log {log:q}"


rule split:
    input:
        P.manifest,
        P.groups,
        study=ancient(P.resolved),
    output:
        P.splits,
    log:
        f"logs/{P.scale}/{{study}}/split.log",
    params:
        key=key("data.classes", "split.test", "split.validation", "split.folds"),
    shell:
        "exec python -m rescan split {input.study:q} --log {log:q}"


rule preprocess:
    input:
        P.manifest,
        P.groups,
        study=ancient(P.resolved),
    output:
        f"{P.store('{preparation}')}/images.npy",
        f"{P.store('{preparation}')}/items.csv",
        f"{P.store('{preparation}')}/preparation.json",
    log:
        f"logs/{P.scale}/{{study}}/preprocess_{{preparation}}.log",
    threads: workflow.cores
    params:
        key=lambda wildcards: RUN.studies[wildcards.study].key(
            f"preparations.{wildcards.preparation}"
        ),
    shell:
        "exec python -m rescan preprocess {input.study:q} --preparation {wildcards.preparation:q}"
        " --processes {threads} --log {log:q}"


rule explore:
    input:
        P.audit,
        P.splits,
        lambda wildcards: store_files(wildcards, "first"),
        study=ancient(P.resolved),
    output:
        report(
            directory(P.explore),
            patterns=["{figure}.png"],
            category="{study}",
            subcategory="data",
        ),
    log:
        f"logs/{P.scale}/{{study}}/explore.log",
    params:
        key=lambda wildcards: RUN.studies[wildcards.study].recipe_key(
            RUN.studies[wildcards.study].first_arm
        ),
    shell:
        "exec python -m rescan explore {input.study:q} --log {log:q}"
