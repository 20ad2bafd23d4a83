# The environment of Rescan's jobs; the code comes from the checkout. `make image` builds it.
#   BASE_IMAGE    any Debian or Ubuntu image with CUDA 11.3 and cuDNN 8
#   FLAVOR        which of envs/*.txt is installed
#   TORCH_SOURCE  where pip finds torch's wheels for this CUDA version; empty: the default build
ARG BASE_IMAGE=nvidia/cuda:11.3.1-cudnn8-runtime-ubuntu20.04
FROM ${BASE_IMAGE}
ARG FLAVOR=cu113
ARG TORCH_SOURCE=https://download.pytorch.org/whl/cu113
ENV PATH=/opt/rescan/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
RUN if ! python3.9 -m venv --help >/dev/null 2>&1 || ! python3.9 -m ensurepip --version >/dev/null 2>&1; then \
      apt-get update \
      && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3.9 python3.9-venv ca-certificates \
      && rm -rf /var/lib/apt/lists/*; \
    fi
COPY envs/${FLAVOR}.txt /opt/requirements.txt
RUN python3.9 -m venv /opt/rescan \
    && pip install --no-cache-dir --quiet ${TORCH_SOURCE:+--extra-index-url ${TORCH_SOURCE}} -r /opt/requirements.txt
