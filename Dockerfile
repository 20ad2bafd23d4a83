# The environment of Rescan's jobs; the code comes from the checkout. `make image` builds it, and holds the arguments of each
# flavor.
#   BASE_IMAGE    any Debian or Ubuntu image; for cu113 one with CUDA 11.3 and cuDNN 8
#   PYTHON        the interpreter that the flavor's packages are locked for
#   FLAVOR        which of envs/*.txt is installed
#   TORCH_SOURCE  where pip finds torch's wheels for the base's CUDA version; empty: the default build
ARG BASE_IMAGE=nvidia/cuda:11.3.1-cudnn8-runtime-ubuntu20.04
FROM ${BASE_IMAGE}
ARG PYTHON=python3.9
ARG FLAVOR=cu113
ARG TORCH_SOURCE=https://download.pytorch.org/whl/cu113
ENV PATH=/opt/rescan/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
RUN if ! ${PYTHON} -m ensurepip --version >/dev/null 2>&1; then \
      apt-get update \
      && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ${PYTHON} ${PYTHON}-venv ca-certificates \
      && rm -rf /var/lib/apt/lists/*; \
    fi
COPY envs/${FLAVOR}.txt /opt/requirements.txt
# If the source of torch fails, pip takes the default build without a word: that one is for another CUDA.
RUN ${PYTHON} -m venv /opt/rescan \
    && pip install --no-cache-dir --quiet ${TORCH_SOURCE:+--extra-index-url ${TORCH_SOURCE}} -r /opt/requirements.txt \
    && python -c "import sys, torch; sys.exit('${TORCH_SOURCE}' != '' and '+cu' not in torch.__version__ and 'not from TORCH_SOURCE')"
