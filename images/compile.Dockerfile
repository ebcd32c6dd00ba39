# Compiles the C programs that are added to every image, for hosts without a C compiler. The context is this folder.
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE}
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make && rm -rf /var/lib/apt/lists/*
COPY guest /src/guest
COPY probe /src/probe
RUN make -C /src/guest && make -C /src/probe
