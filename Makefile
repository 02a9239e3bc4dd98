# make up | down | test | e2e | bench | verify. Each target installs or builds what it needs; the first run on a new machine
# compiles Kubernetes and takes some ten minutes, later ones seconds.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
IMAGE ?= crateyard:dev
# local: the one-node Kubernetes of hack/cluster. current: the context of your kubectl.
CLUSTER ?= local

BIN := $(CURDIR)/bin
TOOLS := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/crateyard/tools
GOLANGCI_VERSION := v2.15.0
GOLANGCI := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)/golangci-lint

export CGO_ENABLED := 0
# The same for every go command here, for with and without -trimpath each package is compiled twice.
export GOFLAGS := $(strip $(shell go env GOFLAGS) -trimpath)
export CRATEYARD_CLUSTER := $(CLUSTER)
export CRATEYARD_IMAGE := $(IMAGE)

##@ Use

.PHONY: help
help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/crateyard
	go build -ldflags "-s -w -X github.com/crateyard/crateyard/cmd.version=$(VERSION)" -o $(BIN)/crateyard .

.PHONY: image
image: build ## make bin/image.tar, an OCI archive, without a container engine
	go run -C hack/image . --binary $(BIN)/crateyard --ca /etc/ssl/certs/ca-certificates.crt --tag $(IMAGE) --version $(VERSION) -o $(BIN)/image.tar

.PHONY: demo-args
demo-args: # before anything is compiled for them
	@. hack/lib.sh

.PHONY: up
up: demo-args image $(BIN)/cluster ## a cluster, the operator, a Registry, and a crate published to it (CLUSTER=current uses your kubectl's context)
	hack/up.sh

.PHONY: down
down: demo-args $(BIN)/cluster ## take down what make up made
	hack/down.sh

##@ Check

.PHONY: test
test: envtest-assets curl ## all tests that need no cluster (make verify vets them)
	KUBEBUILDER_ASSETS=$$($(BIN)/cluster envtest-assets) go test -vet=off -timeout 20m ./...
	go test -C hack/cluster -vet=off . && go test -C hack/image -vet=off ./...

.PHONY: race
race: ## the server's tests with the race detector (needs gcc)
	CGO_ENABLED=1 go test -race -timeout 20m ./registry/...

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (10s), or those in folders that match FUZZ: for changes of what reads input
	hack/fuzz.sh

.PHONY: e2e
e2e: image curl $(BIN)/cluster ## the tests in a real cluster of their own, and a server that is killed 500 times
	hack/e2e.sh

.PHONY: bench
bench: ## measure against nginx and bare writes; replaces the table of docs/performance.md, and fails where a limit is missed
	@command -v nginx wrk >/dev/null || { apt-get update -qq && apt-get install -y -qq nginx-light wrk; }
	go run ./test/bench -write docs/performance.md

.PHONY: verify
verify: generate $(GOLANGCI) $(BIN)/cluster ## regenerate, lint, and fail when a file is not as it was committed
	test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet -C hack/cluster ./... && go vet -C hack/image ./...
	$(GOLANGCI) run ./...
	hack/verify-chart.sh
	go mod tidy -diff
	git diff
	test -z "$$(git status --porcelain)" || { git status --short; echo 'make verify: generated files were not up to date, or new; commit what is listed above'; exit 1; }

.PHONY: generate
generate: ## regenerate deepcopy, CRDs, RBAC and the chart's copies
	hack/generate.sh

.PHONY: envtest-assets
envtest-assets: $(BIN)/cluster ## build etcd, kube-apiserver and kubectl, and print their folder
	@$(BIN)/cluster envtest-assets

# Tests look at answers as they are with curl.
.PHONY: curl
curl:
	@command -v curl >/dev/null || { apt-get update -qq && apt-get install -y -qq curl; }

$(BIN)/cluster: $(wildcard hack/cluster/*.go hack/cluster/go.* hack/cluster/assets/* hack/image/scratch/*.go hack/image/go.*)
	go build -C hack/cluster -o $@ .

$(GOLANGCI):
	GOBIN=$(dir $@) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
