# An image with the command line, for a CPU or an NVIDIA GPU. Checked with hadolint; not built or run yet.
#
#     docker build -t rvm-studio .                                  for a CPU
#     docker build -t rvm-studio:cuda --build-arg TORCH=cu130 .     for a GPU; the driver comes from the host
#     docker run --rm -v "$PWD:/work" -v rvm-models:/models rvm-studio matte clip.mp4 -o cut.mov
#     docker run --rm --gpus all -v ... rvm-studio:cuda ...         needs the NVIDIA Container Toolkit
#
# Files in /work belong to user 1000: add --user "$(id -u):$(id -g)" if that is not you.

FROM python:3.13-slim AS build
ARG TORCH=cpu
RUN python -m venv /opt/rvm-studio
ENV PATH=/opt/rvm-studio/bin:$PATH
# hadolint ignore=DL3013
RUN pip install --no-cache-dir torch torchvision --index-url "https://download.pytorch.org/whl/${TORCH}"
COPY . /source
# hadolint ignore=DL3013
RUN pip install --no-cache-dir /source

FROM python:3.13-slim
COPY --from=build /opt/rvm-studio /opt/rvm-studio
# Weights are downloaded once into /models; /cache holds what OpenVINO and numba compile. Any user may write there.
RUN mkdir -m 777 /models /cache /work
ENV PATH=/opt/rvm-studio/bin:$PATH \
    RVM_MODELS_DIR=/models \
    HOME=/cache \
    XDG_CACHE_HOME=/cache \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
USER 1000
WORKDIR /work
VOLUME ["/models", "/work"]
ENTRYPOINT ["rvm-studio"]
CMD ["--help"]
