# The image holds one static binary, CA certificates and an unprivileged user; nothing else. hack/image makes the same
# image as an archive, without a container engine.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X github.com/crateyard/crateyard/cmd.version=${VERSION}" -o /out/crateyard . \
 && mkdir -p /out/tmp && chmod 1777 /out/tmp \
 && echo 'nonroot:x:65532:65532:nonroot:/:/sbin/nologin' > /out/passwd && echo 'nonroot:x:65532:' > /out/group

FROM scratch
LABEL org.opencontainers.image.title="crateyard" \
      org.opencontainers.image.description="A registry for Rust crates, and the Kubernetes operator that runs it" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/crateyard/crateyard"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/passwd /out/group /etc/
COPY --from=build /out/tmp /tmp
COPY --from=build /out/crateyard /crateyard
USER 65532:65532
ENTRYPOINT ["/crateyard"]
