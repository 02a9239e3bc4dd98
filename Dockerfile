# The image holds one static binary, CA certificates and an unprivileged user; nothing else. hack/image makes the same
# image as an archive, without a container engine, and its tests hold the two together.
#
#   docker build --build-arg VERSION=v0.1.0 -t registry.example.com/crateyard:v0.1.0 .
#
# VERSION is what `crateyard version`, the status of a Registry and the metrics say; left out, it is dev.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X github.com/crateyard/crateyard/cmd.version=${VERSION}" -o /out/crateyard . \
 && mkdir -p /out/tmp && chmod 1777 /out/tmp \
 && printf 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n' > /out/passwd \
 && printf 'root:x:0:\nnonroot:x:65532:\n' > /out/group

FROM scratch
ARG VERSION=dev
LABEL org.opencontainers.image.title="crateyard" \
      org.opencontainers.image.description="Private Rust crate registries, and the Kubernetes operator that runs them" \
      org.opencontainers.image.source="https://github.com/crateyard/crateyard" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
ENV PATH="/" \
    HOME="/tmp" \
    SSL_CERT_FILE="/etc/ssl/certs/ca-certificates.crt"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/passwd /out/group /etc/
COPY --from=build /out/tmp /tmp
COPY --from=build /out/crateyard /crateyard
WORKDIR /
USER 65532:65532
ENTRYPOINT ["/crateyard"]
