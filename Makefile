# pgctl: build, test, and a region in a box. `make help` lists the targets.

SHELL       := /bin/sh
export CGO_ENABLED = 0

VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT      ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
DATE        ?= $(shell git log -1 --format=%cI 2>/dev/null || echo unknown)
LDFLAGS     := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)

GO          := go
LINT        := $(GO) tool -modfile=tools/lint/go.mod golangci-lint
LAB         := $(GO) run ./internal/lab/labctl
REGIONS     ?= 2
LAB_TEST    := $(GO) test -tags lab -count=1 -p 1 -parallel $(REGIONS)
REGION      ?= region
FUZZTIME    ?= 30s
BENCH_RUNS  ?= 10
SOAK        ?= 30m
SOAK_SPEC   ?= 15,2+2

# What the lab needs of Debian, as commands and as packages.
LAB_COMMANDS := mmdebstrap systemd-nspawn nft ip ssh-keygen
LAB_PACKAGES := mmdebstrap systemd-container nftables iproute2 openssh-client ca-certificates

.PHONY: help build check test test-unit sim lab lab-up lab-down lab-deps demo demo-down fuzz bench soak failovers clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/pgctl, a static binary
	$(GO) build -trimpath -ldflags "$(LDFLAGS)" -o bin/pgctl ./cmd/pgctl

test: build test-unit lab-deps ## run all tests, the lab's stories too (those need root and namespaces)
	@if reason=$$($(LAB) check 2>&1); then \
		$(LAB_TEST) -timeout 60m -run '^TestLab' ./internal/lab ./pkg/postgres ./cmd/pgctl; \
	else \
		echo "make test: left out the stories on real hosts: $$reason"; \
	fi

test-unit:
	$(GO) vet -tags lab ./...
	$(GO) test -count=1 ./...

sim: ## run 100000 schedules of the simulated region; SIM_FLAGS="-story N" tells one
	$(GO) run ./internal/sim/simctl $(SIM_FLAGS)

lab: build lab-deps ## run the matrices of versions and faults on real hosts (long)
	@$(LAB) check
	$(LAB_TEST) -timeout 5h -run '^Test(Lab|Matrix)' ./internal/lab ./pkg/postgres ./cmd/pgctl

check: ## run the linters and the race detector
	$(GO) mod tidy -diff
	$(LINT) fmt --diff
	$(LINT) run
	CGO_ENABLED=1 $(GO) test -race ./...

fuzz: ## run every fuzz test for FUZZTIME
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
		done; \
	done

bench: lab-deps ## ask hundreds of hosts against asking one; measure outages on real hosts, BENCH_RUNS times each (long)
	$(GO) test -run '^$$' -bench . -benchtime 10x ./pkg/observe
	@if reason=$$($(LAB) check 2>&1); then \
		BENCH_RUNS=$(BENCH_RUNS) $(GO) test -tags lab -count=1 -parallel 1 -timeout 3h -v -run '^TestBenchKeep$$' ./cmd/pgctl; \
	else \
		echo "make bench: left out the outages on real hosts: $$reason"; \
	fi

soak: lab-deps ## have random faults happen to a region for SOAK (30m), and check what its clients were told; SOAK_SPEC=15,3+0, SOAK_SEED=N
	@$(LAB) check
	SOAK=$(SOAK) SOAK_SPEC=$(SOAK_SPEC) SOAK_SEED=$(SOAK_SEED) SOAK_ONLY='$(SOAK_ONLY)' $(GO) test -tags lab -count=1 -timeout 0 -v -run '^TestSoak$$' ./cmd/pgctl

failovers: ## measure the time to the next leader of the quorum, over thousands of elections
	CONSENSUS_RUNS=2000 $(GO) test -count=1 -timeout 60m -v -run '^TestTimeToTheNextLeader$$' ./pkg/consensus

demo: lab-up ## start the region in a box and run `pgctl overview` in it
	@echo
	@echo "firstbox# pgctl overview"
	@$(LAB) exec -name $(REGION) firstbox pgctl overview
	@echo
	@echo "Get into firstbox: $(LAB) shell -name $(REGION) firstbox"
	@echo "Take it down:      make demo-down$(if $(filter-out region,$(REGION)), REGION=$(REGION))"

demo-down: lab-down

lab-up: build lab-deps ## start the region in a box and leave it running
	@$(LAB) check
	@$(LAB) up -name $(REGION) -binary bin/pgctl -hint "$(LAB) shell -name $(REGION) firstbox" $(LAB_FLAGS)

lab-down: ## take it down
	@$(LAB) down -name $(REGION)

lab-deps:
	@missing=; for c in $(LAB_COMMANDS); do command -v $$c >/dev/null || missing="$$missing $$c"; done; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing what the lab needs:$$missing" >&2; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(LAB_PACKAGES) >/dev/null; \
	fi

clean: ## remove what was built
	rm -rf bin dist
