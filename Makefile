# `make help` lists what there is. CI runs `make ci` and nothing else.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 30s
SEEDS ?= 20
SEED ?= 0
PAIRS ?= 100000
BATCH ?= -1
SCENARIOS ?= 32
ARGS ?=
TOOLS := .tools
SCRIPTS := .ci/run $(wildcard tools/*.sh deploy/local/*.sh)
GENERATED := docs/definitions.schema.json
# Packages with tests that need real servers.
REAL = $(shell grep -rlE '^//go:build .*\breal\b' --include='*_test.go' . | xargs -n1 dirname | sort -u)
# Packages with tests that the race detector disturbs: those that count
# allocations, and those whose sabotage is a race.
UNRACED = $(shell grep -rlE '^func Test[A-Za-z]*(Alloc|WithoutRace)' --include='*_test.go' . | xargs -n1 dirname | sort -u)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST) | sort

.PHONY: build
build: ## Build bin/millrace
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/millrace ./cmd/millrace

.PHONY: run
run: build ## Everything in one process, with live demo events (ARGS='--demo-rate 1000')
	bin/millrace dev --demo $(ARGS)

.PHONY: test
test: $(TOOLS)/gotestsum ## All tests that need no server, with the race detector
	$(TOOLS)/gotestsum --format pkgname-and-test-fails --hide-summary skipped -- -race -timeout 10m $(ARGS) ./...
	$(TOOLS)/gotestsum --format pkgname-and-test-fails --hide-summary skipped -- -run 'Alloc|WithoutRace' -timeout 5m $(UNRACED)

.PHONY: test-real
test-real: $(TOOLS)/gotestsum ## The end-to-end suite on Apache Kafka, Apache Cassandra, Apicurio Registry and MLServer, or on MILLRACE_TEST_KAFKA, _CQL, _REGISTRY and _MLSERVER
	CASSANDRA_SYNC=batch FAST=1 deploy/local/with.sh $(TOOLS)/gotestsum --format pkgname-and-test-fails --hide-summary skipped -- \
	  -tags real -p 1 -count 1 -timeout 30m $(ARGS) $(REAL)

.PHONY: soak
soak: $(TOOLS)/gotestsum ## Many seeds and long runs, for hours (SEEDS=20)
	MILLRACE_MUTATIONS=10000000 MILLRACE_SIM_SEEDS=20000 MILLRACE_TILE_KEYS=1000000 RAPID_CHECKS=10000 MILLRACE_CRASH_SEEDS=$(SEEDS) MILLRACE_CRASH_EVENTS=100000 $(TOOLS)/gotestsum --format standard-verbose -- -p 1 -count 1 -timeout 12h $(ARGS) ./...
	MILLRACE_CRASH_SEEDS=$(SEEDS) MILLRACE_CRASH_EVENTS=100000 CASSANDRA_SYNC=batch deploy/local/with.sh \
	  $(TOOLS)/gotestsum --format standard-verbose -- -tags real -p 1 -count 1 -timeout 12h $(ARGS) $(REAL)

.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZTIME
	tools/fuzz.sh $(FUZZTIME)

.PHONY: oracle
oracle: $(TOOLS)/golangci-lint ## Expressions, windows and the queries of `sql` against DuckDB (SEED=0 of the clock, PAIRS=100000, BATCH=7 alone, SCENARIOS=32); needs g++
	cd oracle && ../$(TOOLS)/golangci-lint run -c ../.golangci.yml ./...
	cd oracle && go test -count 1 -v -run 'Moment|Edges' . -args -seed $(SEED) -scenarios $(SCENARIOS) | grep -v '^=== '
	cd oracle && go test -count 1 -skip 'Moment|Edges' . && go run . -seed $(SEED) -pairs $(PAIRS) -batch $(BATCH)

.PHONY: bench
bench: ## Whole-system figures on real servers, to bench/results
	SERVERS="kafka cassandra" deploy/local/with.sh go run ./bench -out bench/results $(ARGS)

.PHONY: lint
lint: $(TOOLS)/golangci-lint ## Every linter, vet of tagged files, and the scripts
	go vet ./...
	go vet -tags real ./...
	$(TOOLS)/golangci-lint run ./...
	tools/shellcheck.sh $(TOOLS)/shellcheck $(SCRIPTS)

.PHONY: fmt
fmt: $(TOOLS)/golangci-lint ## Format the Go files
	$(TOOLS)/golangci-lint fmt ./...

.PHONY: generate
generate: ## Make the generated files anew
	go run ./cmd/millrace schema > docs/definitions.schema.json.part
	mv docs/definitions.schema.json.part docs/definitions.schema.json

.PHONY: docs
docs: build ## Check generated files and the examples: their definitions and their tests
	tools/fresh.sh $(GENERATED) -- $(MAKE) generate
	@for dir in $$(dirname -- examples/*/*.yaml | sort -u); do echo "check $$dir"; bin/millrace check --definitions "$$dir"; done
	@for dir in examples/*/tests/; do echo "test $$dir"; bin/millrace test "$$(dirname "$$dir")"; done

.PHONY: ci
ci: ## What CI runs
	@tools/timed.sh tools $(MAKE) tools
	@tools/timed.sh lint $(MAKE) lint
	@tools/timed.sh docs $(MAKE) docs
	@tools/timed.sh test $(MAKE) test
	@tools/timed.sh oracle $(MAKE) oracle SEED=1
	@tools/timed.sh test-real $(MAKE) test-real

.PHONY: tools
tools: $(TOOLS)/golangci-lint $(TOOLS)/gotestsum ## Build the tools that CI needs, and fetch what the Python examples need
	tools/python.sh $(TOOLS)/python
	@ls -l $(TOOLS) | awk 'NR > 1 {print "  " $$NF}'

$(TOOLS)/golangci-lint: PACKAGE = github.com/golangci/golangci-lint/v2/cmd/golangci-lint
$(TOOLS)/gotestsum: PACKAGE = gotest.tools/gotestsum
$(TOOLS)/gofumpt: PACKAGE = mvdan.cc/gofumpt
$(TOOLS)/benchstat: PACKAGE = golang.org/x/perf/cmd/benchstat
$(TOOLS)/golangci-lint $(TOOLS)/gotestsum $(TOOLS)/gofumpt $(TOOLS)/benchstat: tools/go.mod tools/go.sum
	cd tools && CGO_ENABLED=0 go build -o ../$@ $(PACKAGE)
	@touch $@

.PHONY: clean
clean: ## Remove what was built; data of dev and of local servers stays
	rm -rf bin $(TOOLS)
