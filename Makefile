# The verbs are the same here and in CI. `make help` lists them.

GO        ?= go
BIN       := bin
INIT      := internal/runtime/embedded/initbin/slipway-init
PROGRAMS  := internal/build/docker/bin/*.gz
LDFLAGS   := -s -w
STAMP     = $(shell scripts/stamp)
PREFIX    ?= /usr/local
UNIT      = $(shell $(GO) list ./... | grep -v '/e2e/')

# Development tools are run at a fixed version and stay out of go.mod.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
GOTESTSUM   := gotest.tools/gotestsum@v1.13.0

# The same for every command, so that what one compiles is there for the next. Only the
# race detector needs cgo.
export GOFLAGS     ?= -buildvcs=false -trimpath
export CGO_ENABLED ?= 0

.DEFAULT_GOAL := build
.PHONY: help build raced init programs run hello test unit e2e long languages steady soak fuzz lint vuln bench generate docs install dist release clean

help: ## list the targets
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: init programs ## build bin/slipway, one static file
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS) $(STAMP)' -o $(BIN)/slipway ./cmd/slipway

# The first process of an instance. A slipway built without it is its own init:
# instances then start more slowly and each takes some megabytes more.
init: ## build the init that slipway embeds
	@mkdir -p $(dir $(INIT))
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(INIT) ./cmd/slipway-init

# Module builder is BuildKit's frontend, which the rest of Slipway must not be linked
# with. A slipway built without it says so when a Dockerfile is to be built.
programs: ## build the programs for Dockerfiles that slipway embeds
	@GO='$(GO)' scripts/programs

run: build hello ## start a server, deploy the example to it and serve until Ctrl-C
	@scripts/run

# The example as an image, without Docker.
hello:
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/hello ./examples/hello
	@$(GO) run ./examples/ocilayout -out $(BIN)/hello-oci $(BIN)/hello

# Unit and end-to-end tests share the runtimes that they make of packages, unless
# SLIPWAY_TEST_RUNTIMES names a directory where they stay for the next run.
define RUNTIMES
set -e; \
if [ -z "$$SLIPWAY_TEST_RUNTIMES" ]; then SLIPWAY_TEST_RUNTIMES=$$(mktemp -d); trap 'rm -rf "$$SLIPWAY_TEST_RUNTIMES"' EXIT; fi; \
export SLIPWAY_TEST_RUNTIMES
endef

# $(call gotest,FLAGS,PACKAGES) runs tests. With RERUN=1, as in CI, up to three tests that
# failed run once more, alone, with their subtests or, for SUBTESTS, only the subtests that
# failed. The output shows both runs. Data races and panics are final.
ifdef RERUN
gotest = $(GO) run $(GOTESTSUM) --format standard-$(if $(findstring -v ,$(1)),verbose,quiet) --hide-summary skipped \
	--rerun-fails=1 --rerun-fails-max-failures=3 --rerun-fails-abort-on-data-race \
	$(if $(SUBTESTS),,--rerun-fails-run-root-test) --packages='$(2)' -- $(1)
else
gotest = $(GO) test $(1) $(2)
endif

test: ## vet, tests with the race detector, then end to end
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory e2e

# SQLite is C translated to Go. Its memory is outside Go's heap, where the race detector
# ignores accesses, but each still costs a call: fifty times the time. SQLite's driver and
# all other packages are checked.
SQLITE := modernc.org/sqlite/lib modernc.org/libc/... modernc.org/memory
RACE   := -race $(foreach p,$(SQLITE),-gcflags=$(p)=-race=false)

# These start no goroutine, which internal/deptest checks, and take 4 to 16 times as long
# with the race detector.
PLAIN := internal/deptest internal/docstest internal/source/config internal/source/detect

# The server that tests with many clients run.
raced:
	CGO_ENABLED=1 $(GO) build $(RACE) -o $(BIN)/e2e/slipway ./cmd/slipway

# With the init built: a race detector in each instance's init would find nothing. The
# longest packages come first. More at once than there are cores, since some wait for
# sandboxes, git and limits of time.
LONGEST := internal/build cmd/slipway internal/runtime/embedded internal/source/git internal/router/proxy
unit: init programs
	$(GO) vet ./...
	cd builder && $(GO) vet ./... && $(GO) test -vet=off ./...
	CGO_ENABLED=1 $(call gotest,$(RACE) -vet=off -p 3 -timeout 20m,$(addprefix ./,$(LONGEST)) $(filter-out $(addprefix %/,$(PLAIN)),$(UNIT)))
	$(call gotest,-vet=off,$(addprefix ./,$(PLAIN)) ./internal/deploy) # crashes at every point: too slow with the race detector
	$(call gotest,-vet=off -run PowerLoss,./internal/store ./internal/image) # a power loss at many points: likewise

# On a clock of its own: the runtimes of all languages are made of packages first.
languages: SUBTESTS := yes
languages: build ## build services in every language, as root, in some 25 minutes
	@$(RUNTIMES); export SLIPWAY_TEST_LANGUAGES=all; \
	$(call gotest,-v -count=1 -timeout 40m -run TestLanguages,./internal/build); \
	$(call gotest,-v -count=1 -timeout 40m -run 'TestLanguages|TestHardship|TestDockerfiles' -parallel 2,./e2e/builds)

# Not cached: the tests run a binary that the test cache does not know. More at once
# than there are cores, since most of them wait for a client that sleeps between its
# requests. The longest packages come first.
E2E := -vet=off -count=1
e2e long languages steady soak: export SLIPWAY_E2E_BUILT := yes
e2e: build ## the real binary with real clients (as root), but for what make long runs
	$(call gotest,$(E2E) -p 3 -parallel 2 -timeout 20m -skip '^$(ALONE)$$',./e2e/life ./e2e/attack ./e2e/crash $(filter-out %/e2e/builds %/e2e/terraform %/e2e/clock,$(shell $(GO) list ./e2e/...)))

# On a clock of its own. One test has the machine to itself: it sends requests at a steady
# rate and waits for the scaler, which other tests' load keeps from seeing few requests at
# once.
ALONE := TestNoRequestIsLost
long: build ## end-to-end tests with builds, Terraform, clocks that step, a steady load and a short soak (as root)
	$(call gotest,$(E2E) -p 2 -parallel 2 -timeout 20m,./e2e/clock ./e2e/terraform ./e2e/builds)
	$(call gotest,$(E2E) -timeout 10m -run '^$(ALONE)$$',./e2e/life)
	SLIPWAY_TEST_SOAK=75s $(GO) test $(E2E) -v -timeout 20m -run '^TestSoak$$' ./e2e/soak
	SLIPWAY_TEST_FAULTS=20 $(GO) test -vet=off -v -timeout 20m -run PowerLoss ./internal/store ./internal/image

# It prints its figures, which docs/operating.md has. It is never run again where it fails: a
# request was lost.
STEADY := TestSteady|TestThousandSockets|TestDrainLimit
steady: export SLIPWAY_TEST_STEADY := yes
steady: build ## updates, scaling, upgrades and killed instances under load (as root), in some 10 minutes
	$(GO) test $(E2E) -v -timeout 30m -run '^($(STEADY))$$' ./e2e/takeover

# It prints what there was, and its seed. It is never run again where it fails.
soak: export SLIPWAY_TEST_SOAK ?= 15m
soak: build ## random changes, requests and kills of some twenty services (as root), for 15 minutes
	$(GO) test $(E2E) -v -timeout 10h -run '^TestSoak$$' ./e2e/soak

fuzz: ## fuzz the parsers that strangers reach, 40 seconds each
	scripts/fuzz $(or $(FUZZTIME),40s) $(FUZZ)

lint: ## vet, staticcheck, gofumpt and a tidy go.mod
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	cd builder && $(GO) mod tidy -diff && $(GO) vet ./... && $(GO) run $(STATICCHECK) ./...
	@unformatted=$$($(GO) run $(GOFUMPT) -l .); \
	if [ -n "$$unformatted" ]; then echo "gofumpt -w wanted for:"; echo "$$unformatted"; exit 1; fi

vuln: ## look for known vulnerabilities in what is linked, if their database is reachable
	@if curl -fsS --max-time 20 -o /dev/null https://vuln.go.dev/index/db.json; then \
		$(GO) run $(GOVULNCHECK) ./cmd/... && cd builder && $(GO) run $(GOVULNCHECK) ./...; \
	else echo "skipped: the Go vulnerability database (vuln.go.dev) is not reachable"; fi

bench: build ## measure against bare exec, runc and Docker; writes docs/benchmarks.md (as root)
	$(GO) run ./bench -slipway $(BIN)/slipway -out docs/benchmarks.md

generate: docs ## rewrite generated files
	$(GO) generate ./...

docs: ## rewrite the generated pages and tables of the documents
	$(GO) test ./internal/docstest ./internal/compat -update
	$(GO) test ./cmd/slipway -run TestDocs -update
	$(GO) test . -run TestSettingsPage -update

install: build ## install to PREFIX (/usr/local), below DESTDIR if it is set
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' scripts/install $(BIN)/slipway

# VERSION is a tag, or says that there is none. TARGETS limits it: TARGETS=linux/amd64.
dist: ## write archives, packages, lists of software and checksums to dist
	rm -rf dist
	@GO='$(GO)' scripts/dist '$(or $(VERSION),devel)' $(TARGETS)

release: ## write the files and the notes of VERSION to dist
	@test -n '$(VERSION)' || { echo 'usage: make release VERSION=v1.2.3'; exit 1; }
	scripts/notes '$(VERSION)' > /dev/null
	@$(MAKE) --no-print-directory dist VERSION='$(VERSION)'
	scripts/notes '$(VERSION)' > dist/notes.md

clean: ## remove what was built
	rm -rf $(BIN) dist $(INIT) $(PROGRAMS)
