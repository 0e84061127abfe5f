# The course in a container, with the versions of constraints.txt:
#
#     docker build -t vaelib .
#     docker run --rm -p 8888:8888 -v "$PWD/work:/course/work" vaelib
#
# Then open the address with 127.0.0.1 that JupyterLab prints. Your copies of the notebooks lie in work/, outside the
# container. Without a GPU, the small build of PyTorch saves 2 GB: --build-arg PYTORCH=ADDRESS, where the address is the
# one that PyTorch's page "Start locally" gives for Linux, Pip and CPU. Nobody has seen Docker build this one.

FROM python:3.13-slim AS base
RUN apt-get update && apt-get install -y --no-install-recommends git make && rm -rf /var/lib/apt/lists/*

FROM base
WORKDIR /course
COPY pyproject.toml constraints.txt README.md LICENSE LICENSE-TEXT ./
COPY tools/install.py tools/
COPY vaelib vaelib
ARG PYTORCH=
RUN PIP_NO_CACHE_DIR=1 PIP_EXTRA_INDEX_URL="$PYTORCH" python tools/install.py
COPY . .
RUN touch .venv/installed

EXPOSE 8888
CMD ["make", "lab", "ARGS=--ip=0.0.0.0 --no-browser"]
