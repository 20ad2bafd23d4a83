# Every step reads the resolved study, but it is no input: a new title must not retrain an arm. What a step depends on in it
# is the step's `key`.


localrules:
    download,
    weights,


# The only rules that need a network, and so run outside the container.
rule download:
    output:
        P.source,
        P.files,
    log:
        f"logs/{P.scale}/{{study}}/download.log",
    priority: PLAN.priority
    conda:
        HOST
    container:
        None
    params:
        study=P.resolved,
        key=KEYS.data,
    shell:
        "exec python -m rescan download {params.study:q} --log {log:q}"


rule weights:
    input:
        INPUTS.weights_file,
    output:
        Paths.weights("{encoder}"),
    log:
        "logs/weights/{encoder}.log",
    conda:
        HOST
    container:
        None
    params:
        words=INPUTS.weights_words,
        key=KEYS.weights_file,
    shell:
        "exec python -m rescan weights {params.words:q} --log {log:q}"


rule index:
    input:
        P.source,
    output:
        P.manifest,
        P.dropped,
    log:
        f"logs/{P.scale}/{{study}}/index.log",
    priority: PLAN.priority
    resources:
        **ASK.of("index"),
    params:
        study=P.resolved,
        key=KEYS.index,
    shell:
        "exec python -m rescan index {params.study:q} --log {log:q}"


rule audit:
    input:
        P.manifest,
        P.dropped,
        INPUTS.home,
    output:
        P.audit,
        P.groups,
    log:
        f"logs/{P.scale}/{{study}}/audit.log",
    priority: PLAN.priority
    threads: ASK.processes("audit")
    resources:
        **ASK.of("audit"),
    params:
        study=P.resolved,
        key=KEYS.audit,
    shell:
        "exec python -m rescan audit {params.study:q} --processes {threads} --log {log:q}"


rule split:
    input:
        P.manifest,
        P.groups,
    output:
        P.splits,
    log:
        f"logs/{P.scale}/{{study}}/split.log",
    priority: PLAN.priority
    resources:
        **ASK.of("split"),
    params:
        study=P.resolved,
        key=KEYS.sections(
            "data.classes",
            "data.extra",
            "split.test",
            "split.validation",
            "split.folds",
            "split.stratify_by",
        ),
    shell:
        "exec python -m rescan split {params.study:q} --log {log:q}"


rule preprocess:
    input:
        P.manifest,
        P.groups,
    output:
        STORE.images,
        STORE.items,
        STORE.preparation,
    log:
        f"logs/{P.scale}/{{study}}/preprocess_{{preparation}}.log",
    priority: PLAN.priority
    threads: ASK.processes("preprocess")
    resources:
        **ASK.of("preprocess"),
    params:
        study=P.resolved,
        key=KEYS.preparation,
    shell:
        "exec python -m rescan preprocess {params.study:q} --preparation {wildcards.preparation:q}"
        " --processes {threads} --log {log:q}"


rule explore:
    input:
        P.audit,
        P.splits,
        INPUTS.first_store,
    output:
        report(
            directory(P.explore),
            patterns=["{figure}.png"],
            category="{study}",
            subcategory="data",
        ),
    log:
        f"logs/{P.scale}/{{study}}/explore.log",
    priority: PLAN.priority
    resources:
        **ASK.of("explore"),
    params:
        study=P.resolved,
        key=KEYS.exploration,
    shell:
        "exec python -m rescan explore {params.study:q} --log {log:q}"
