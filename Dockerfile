# The environment of Rescan's jobs; the code comes from the checkout. `make image` builds it (envs/image.sh holds the arguments of
# each flavor).
#   BASE_IMAGE    any Debian or Ubuntu image; for cu113 one with CUDA 11.3 and cuDNN 8
#   PYTHON        the interpreter that the flavor's packages are locked for
#   FLAVOR        which of envs/*.txt is installed
#   HOST          yes: also Snakemake (envs/host.txt), so that the whole workflow runs inside
#   TORCH_SOURCE  where pip finds torch's wheels for the base's CUDA version, as in …/whl/cu113; empty: the default build
#   LOCK          SHA-256 of envs/FLAVOR.txt, by which an image that is older than its lock is known
ARG BASE_IMAGE=nvidia/cuda:11.3.1-cudnn8-runtime-ubuntu20.04
FROM ${BASE_IMAGE}
ARG PYTHON=python3.9
ARG FLAVOR=cu113
ARG HOST=
ARG TORCH_SOURCE=https://download.pytorch.org/whl/cu113
ARG LOCK=

# Nothing is taken from NVIDIA's own package lists, whose key was changed once already.
RUN if ! ${PYTHON} -m ensurepip --version >/dev/null 2>&1; then \
      rm -f /etc/apt/sources.list.d/cuda*.list /etc/apt/sources.list.d/nvidia*.list \
      && apt-get update \
      && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ${PYTHON} ${PYTHON}-venv ca-certificates \
      && rm -rf /var/lib/apt/lists/*; \
    fi

ENV PATH=/opt/rescan/bin:$PATH
COPY envs/pip.txt envs/${FLAVOR}.txt /opt/envs/
# With a TORCH_SOURCE, torch==1.12.1 becomes torch==1.12.1+cu113: pip would else take the default build without a word.
RUN cd /opt/envs \
    && if [ -n "${LOCK}" ]; then echo "${LOCK}  ${FLAVOR}.txt" | sha256sum -c --quiet; fi \
    && sed -E "${TORCH_SOURCE:+s/^(torch|torchvision)==[^ ]+/&+${TORCH_SOURCE##*/}/}" ${FLAVOR}.txt > wanted.txt \
    && ${PYTHON} -m venv /opt/rescan \
    && install="/opt/rescan/bin/python -m pip --disable-pip-version-check --no-cache-dir --quiet install --require-hashes" \
    && ${install} -r pip.txt \
    && ${install} ${TORCH_SOURCE:+--extra-index-url ${TORCH_SOURCE}} -r wanted.txt
# pip, and what the base has of it, go when they are not needed any more.
COPY envs/host.txt /opt/envs/
RUN cd /opt/envs \
    && pip="/opt/rescan/bin/python -m pip --disable-pip-version-check --no-cache-dir --quiet" \
    && if [ -n "${HOST}" ]; then ${pip} install --require-hashes -r host.txt; fi \
    && ${pip} uninstall --yes pip \
    && { ${PYTHON} -m pip uninstall --yes --quiet setuptools wheel pip 2>/dev/null || true; } \
    && rm -rf /opt/envs /root/.cache

# Works as any user: `docker run --user "$(id -u):$(id -g)"`, who writes in this home, too. USER is for programs that ask for a name.
RUN useradd --create-home --uid 1000 --non-unique rescan && chmod 1777 /home/rescan
ENV HOME=/home/rescan USER=rescan NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER rescan
WORKDIR /home/rescan
ENTRYPOINT []
CMD ["bash"]
COPY tests/smoke.py /opt/rescan/smoke.py
RUN python /opt/rescan/smoke.py && rm -rf /home/rescan/.cache /home/rescan/.config

ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="Rescan" \
      org.opencontainers.image.description="The environment of Rescan's jobs; the code comes from the checkout" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      rescan.flavor="${FLAVOR}" \
      rescan.lock="${LOCK}"
