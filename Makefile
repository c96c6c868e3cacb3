# Bulwark's targets; `make` lists them. The two that matter to a newcomer are
# `make demo` and `make test`. Both install what they need and can.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X github.com/bulwark-k8s/bulwark/internal/cli.release=$(VERSION)
BIN := bin
LAB := $(BIN)/lab
GO ?= go
# The same settings as lab/build.sh, so that tests share its compile cache.
LABGO := GOFLAGS=-trimpath CGO_ENABLED=0 $(GO)
FUZZTIME ?= 30s
IMAGETAG ?= 1
# When the source was last changed: what is packed of it bears that time.
CHANGED = $(or $(shell git log -1 --format=%ct 2>/dev/null),0)

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: build lab ## a real cluster, a careless application on it, a scan, an HTML report
	@lab/demo/run.sh

.PHONY: build
build: ## the bulwark binary, in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o $(BIN)/bulwark ./cmd/bulwark
	@ln -sf bulwark $(BIN)/kubectl-bulwark
	@ln -sf bulwark $(BIN)/kubectl_complete-bulwark

.PHONY: lab
lab: ## the real Kubernetes components and the lab's images, in bin/lab/
	lab/build.sh $(LAB)

.PHONY: image
image: build ## an image with bulwark, for `scan --nodes`: bin/bulwark-TAG.tar
	cd lab && $(LABGO) run ./cmd/lab-images --bin $(CURDIR)/$(BIN) --out $(CURDIR)/$(BIN) --only bulwark:$(IMAGETAG)

.PHONY: test
test: build lab unit image-oracle e2e ## everything: unit, CLI stories, and end to end on real clusters

.PHONY: unit
unit: ## the tests that need no cluster, with the race detector
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt: not formatted:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) test -race ./...
	cd lab && $(LABGO) vet -tags e2e,system ./... && $(LABGO) test -timeout 40m ./...
	cd lab/demo/shop && $(LABGO) vet ./... && $(LABGO) test ./...
	cd packaging && $(LABGO) vet ./... && $(LABGO) test ./...

.PHONY: e2e
e2e: build lab image ## the tests on real clusters that they start themselves
	@[ "$$(id -u)" = 0 ] || echo "e2e: without root only the tests of a control plane alone run; sudo make e2e runs all"
	cd lab && BULWARK_BIN=$(CURDIR)/$(BIN) $(LABGO) test -tags e2e -count=1 -timeout 60m ./e2e/...

.PHONY: image-oracle
image-oracle: ## what is read of images against rpm and dpkg themselves
	@if ! command -v rpmbuild >/dev/null && [ "$$(id -u)" != 0 ]; then \
	  echo "image-oracle: left out: rpm is missing, and only root can install it"; exit 0; fi; \
	command -v rpmbuild >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends rpm >/dev/null; }; \
	(cd lab && $(LABGO) test -tags system -count=1 -run 'Itself$$' ./oracle/) && \
	$(GO) test -tags system -count=1 -run TestRPM ./internal/match/order/

.PHONY: image-debian
image-debian: ## the same on a Debian that debootstrap makes: as root, from the archive
	@command -v debootstrap >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null; }
	cd lab && $(LABGO) test -tags system -count=1 -run TestDebootstrap ./oracle/
	$(GO) test -tags system -count=1 -run TestChangelogs -timeout 20m ./internal/match/

.PHONY: lint
lint: ## golangci-lint at the pinned version, which it builds on first use
	$(GO) tool -modfile=tools/go.mod golangci-lint run ./...
	cd lab && $(GO) tool -modfile=../tools/go.mod golangci-lint run --config ../.golangci.yml ./...
	cd lab/demo/shop && $(GO) tool -modfile=../../../tools/go.mod golangci-lint run --config ../../../.golangci.yml ./...

.PHONY: cosign
cosign: ## the verifier of signatures against cosign, which it builds on first use (some minutes)
	cd lab/components/cosign && CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false" $(GO) build -ldflags "-s -w" -o $(CURDIR)/$(LAB)/cosign github.com/sigstore/cosign/v3/cmd/cosign
	cd lab && COSIGN=$(CURDIR)/$(LAB)/cosign $(LABGO) test -count=1 -tags cosign ./oracle/cosign

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (30s), and the oracles' long run
	@for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep ^Fuzz || true); do \
	    echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x $$pkg; \
	  done; done
	cd lab/oracle && for target in $$($(LABGO) test -list '^Fuzz' . | grep ^Fuzz || true); do \
	  echo "lab/oracle $$target"; $(LABGO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x .; done
	cd lab/oracle && $(LABGO) test -run 'TestAuthorize|TestCovers|TestEscalation|TestImpersonation' -timeout 60m . -rounds 50

.PHONY: bench
bench: build lab ## the numbers of docs/performance.md
	$(GO) test -run '^$$' -bench . -benchmem ./...
	cd lab && BULWARK_BENCH=1 BULWARK_BIN=$(CURDIR)/$(BIN) $(LABGO) test -tags e2e -count=1 -timeout 30m -v -run '^TestNumbers' ./e2e/...

.PHONY: generate
generate: ## write the generated files anew
	cd controls && $(GO) run ./gen
	$(GO) test ./controls -run "TestReference|TestChecklist" -update

.PHONY: control
control: ## begin a control: make control ID=pod.something, with TABLE=1 as a row of its family's table
	@test -n "$(ID)" || { echo "make control: ID is missing, want make control ID=family.name"; exit 2; }
	cd controls && $(GO) run ./gen -new $(ID)$(if $(TABLE), -table)

.PHONY: man
man: ## a man page for every command, in bin/man/
	cd packaging && $(LABGO) run ./dist -man ../$(BIN)/man -version "$(VERSION)" -time $(CHANGED)

.PHONY: completions
completions: ## completions for bash, zsh, fish and PowerShell, in bin/completions/
	cd packaging && $(LABGO) run ./dist -completions ../$(BIN)/completions

.PHONY: dist
dist: ## a release's archives, checksums and krew manifest, in bin/dist/: make dist VERSION=v1.2.3
	rm -rf $(BIN)/dist
	cd packaging && $(LABGO) run ./dist -archives ../$(BIN)/dist -version "$(VERSION)" -time $(CHANGED)

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BIN)
