# What developers and CI call. Everything works with Go alone; `make test` also needs a C compiler (the race detector's),
# Chromium (README's page), Python (docs/writing-a-client.md), HAProxy, nginx, Caddy, Prometheus, systemd and mandoc
# (docs/deploy).

GO       ?= go
BIN      ?= bin
FUZZTIME ?= 5s
BENCHTIME ?= 1s
SEEDS    ?= 5000
PKG      ?= ./...
ARGS     ?=

# Built from source through the module proxy (about a minute and a half with a cold cache).
GOLANGCI = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Builds the Debian package; from source as well. Newer ones need a module that is not to be had everywhere.
NFPM = github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2

# The black-box tests, the others, and those that look at allocations, of PKG. The longest of the
# others begins first: the rest goes beside it, and not before it.
LISTED  = $(shell $(GO) list $(PKG))
OUTSIDE = $(filter %/blackbox,$(LISTED))
INSIDE  = $(filter %/broker,$(LISTED)) $(filter-out %/broker %/blackbox,$(LISTED))
ALLOCS  = $(shell for d in $$($(GO) list -f '{{.Dir}}' $(PKG)); do grep -qsE '^func Test[[:alnum:]]*[Aa]lloc' $$d/*_test.go && echo $$d; done)

.DEFAULT_GOAL := build
.PHONY: help build run demo test lint fuzz bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 14

build: ## build every command into bin/
	@mkdir -p $(BIN)
# Without cgo the binaries are static: the loader takes 0.8 of 5 ms from the start to the first welcome.
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/ ./cmd/...

run: build ## build and run a node; ARGS="--log-format text" passes flags
	$(BIN)/mb-server $(ARGS)

demo: build ## watch a node at work for 20 seconds; DEMO_COUNT and DEMO_RATE change how much
	@BIN="$(BIN)" bash docs/demo/demo.sh

# Flags of docs/demo/cluster: DEMOFLAGS="-rate 1000 -look 10s".
DEMOFLAGS ?=
.PHONY: demo-cluster
demo-cluster: build ## watch three nodes behind HAProxy for 25 seconds: a service is killed, a node, then NATS; DEMOFLAGS="-rate 1000"
	@PATH="$$PATH:/usr/sbin" command -v haproxy >/dev/null || { echo "make demo-cluster: needs HAProxy: apt-get install --no-install-recommends haproxy" >&2; exit 1; }
	@mkdir -p $(BIN)/peers
	cd bench/peers && $(GO) build -trimpath -o $(abspath $(BIN))/peers/ ./nats
	$(GO) build -o $(BIN)/demo-cluster ./docs/demo/cluster
	@$(BIN)/demo-cluster -bin $(BIN) $(DEMOFLAGS)

test: ## go vet, then all tests, under the race detector where that means something; PKG=./topic/... narrows it
	@command -v $${CC:-gcc} >/dev/null || { echo "make test: the race detector needs a C compiler: apt-get install gcc libc6-dev" >&2; exit 1; }
	$(if $(OUTSIDE),@for p in haproxy nginx caddy prometheus promtool; do PATH="$$PATH:/usr/sbin" command -v $$p >/dev/null || { echo "make test: docs/deploy is tried with $$p: apt-get install --no-install-recommends haproxy nginx-light libnginx-mod-stream caddy prometheus" >&2; exit 1; }; done)
	$(GO) vet $(PKG)
# What allocates nothing: the race detector allocates.
	$(if $(ALLOCS),$(GO) test -run '[Aa]lloc' $(ALLOCS))
	$(if $(strip $(INSIDE)),CGO_ENABLED=1 $(GO) test -race -timeout 20m $(INSIDE))
# As shipped: the memory and load tests mean nothing under the race detector. Then its contract part once more.
# Four at a time, as two copies beside each other would be: most of them wait for a node.
	$(if $(OUTSIDE),$(GO) test -timeout 20m -parallel 4 $(OUTSIDE))
	$(if $(OUTSIDE),CGO_ENABLED=1 $(GO) test -race -timeout 20m -parallel 4 -run '^TestS[0-9]|^TestFlights|^TestChaos' $(OUTSIDE))

lint: ## golangci-lint with .golangci.yml, the import arrows included; what may be committed
	@bash .ci/committed
	$(GO) run $(GOLANGCI) run $(PKG)

fuzz: ## every fuzz target for FUZZTIME (default 5s) each
	@GO="$(GO)" FUZZTIME="$(FUZZTIME)" bash .ci/fuzz $(PKG)

.PHONY: vuln
vuln: ## known vulnerabilities in what the code calls (govulncheck); says so where their database cannot be reached
	@GO="$(GO)" bash .ci/vuln $(PKG)

.PHONY: sim
sim: ## the seeded simulation of whole nodes over SEEDS (default 5000) seeds
	$(GO) test ./server/broker -run 'TestSimulation$$' -count 1 -timeout 60m -sim.seeds=$(SEEDS)

.PHONY: sim-cluster
sim-cluster: ## the seeded simulation of three nodes over SEEDS (default 5000) seeds; 100 a second and core
	$(GO) test ./server/broker -run 'TestClusterSimulation$$' -count 1 -timeout 60m -sim.cluster.seeds=$(SEEDS)

bench: ## every Go benchmark for BENCHTIME (default 1s) each, with allocations
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) $(PKG)

.PHONY: bench-peers
bench-peers: ## what the harness compares with: redis-server, mosquitto (Debian), NATS and Centrifuge (built into bin/peers)
	@command -v redis-server mosquitto >/dev/null || apt-get install -y --no-install-recommends redis-server mosquitto
	@mkdir -p $(BIN)/peers
	cd bench/peers && $(GO) build -trimpath -o $(abspath $(BIN))/peers/ ./...

.PHONY: bench-guard
bench-guard: build ## micro-benchmarks against a yardstick, a node against the floor, two loops against one; fails past the band of bench/guard.json
	$(GO) test -run '^$$' -bench 'Yardstick$$|OutboundAppend$$|(ParseHeader|TCPNext|WSNext|CacheHit|TreeMatch)$$/^(publish|whole-64|text-64|names=1000|subscriptions=10000)$$' \
		-benchtime 50ms -count 8 ./bench ./codec ./ringbuf ./topic > $(BIN)/guard.txt
	$(BIN)/mb bench fan-out/100 request/1x256 --transports tcp --repeat 5 --duration 500ms --warmup 200ms --quiet --out $(BIN)/guard.json > $(BIN)/guard-table.txt
	$(BIN)/mb bench fan-out/1 pairs/50 --targets mb --loops 1,2 --transports tcp --repeat 3 --duration 300ms --warmup 100ms --quiet --out $(BIN)/guard-loops.json > $(BIN)/guard-loops.txt
	$(BIN)/mb bench guard $(GUARDFLAGS) $(BIN)/guard.txt $(BIN)/guard.json $(BIN)/guard-loops.json

# A cell is the attack, and about half a minute more. CELLS: sample, all, ci, or attack/loops/MiB,...
CELLS     ?= sample
SEED      ?= 1
SOAKFLAGS ?=
.PHONY: soak
soak: build ## well-behaved clients beside each attack, 30 s a cell drawn by SEED; CELLS=all runs every one
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/soak ./bench/soak
	$(BIN)/soak -server $(BIN)/mb-server -cells $(CELLS) -seed $(SEED) -markdown $(BIN)/soak.md $(SOAKFLAGS)

.PHONY: ts
ts: build ## the TypeScript client: size, types, scenarios in Node and in Chromium, what would be published; needs npm
	@MB_SERVER="$(abspath $(BIN))/mb-server" bash client/ts/ci.sh

# Pictures go into bin/console; CONSOLEFLAGS=--docs makes those of docs/images anew, after 45 s of traffic.
CONSOLEFLAGS ?=
.PHONY: console
console: build ## every view of the console in Chromium, with axe-core: from 360 to 3840 px, light and dark; needs npm
	@MB_SERVER="$(abspath $(BIN))/mb-server" OUT="$(abspath $(BIN))/console" bash server/admin/console/test/ci.sh $(CONSOLEFLAGS)

.PHONY: man deb release
man: ## manual pages and completions of both programs, into bin/manual
	for p in mb-server mb; do $(GO) run -tags manual ./cmd/$$p manual $(BIN)/manual || exit 1; done

deb: ## the Debian package, into bin/; GOARCH=arm64 for another architecture
	@GO="$(GO)" bash .ci/deb $(BIN) $(GO) run $(NFPM)

RELEASE ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
release: ## an archive for each of RELEASE with checksums, into bin/release; twice the same from the same commit
	@GO="$(GO)" bash .ci/release $(BIN)/release $(RELEASE)

# Flags of bench/roll; CI's are in .ci/run.
ROLLFLAGS ?=
.PHONY: roll
roll: build ## three nodes behind HAProxy and nginx, restarted and killed under load; ROLLFLAGS='-groups http/go,nginx/old'
	@for p in haproxy nginx; do PATH="$$PATH:/usr/sbin" command -v $$p >/dev/null || { echo "make roll: needs $$p: apt-get install haproxy nginx-light" >&2; exit 1; }; done
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/roll ./bench/roll
	$(BIN)/roll -server $(BIN)/mb-server $(ROLLFLAGS)

.PHONY: roll-cluster
roll-cluster: build ## three nodes that are a cluster behind HAProxy and nginx, restarted one by one under load; ROLLFLAGS as of roll
	@for p in haproxy nginx; do PATH="$$PATH:/usr/sbin" command -v $$p >/dev/null || { echo "make roll-cluster: needs $$p: apt-get install haproxy nginx-light" >&2; exit 1; }; done
	@mkdir -p $(BIN)/peers
	cd bench/peers && $(GO) build -trimpath -o $(abspath $(BIN))/peers/ ./nats
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/roll ./bench/roll
	$(BIN)/roll -server $(BIN)/mb-server -nats $(BIN)/peers/nats $(ROLLFLAGS)

clean: ## remove what was built
	rm -rf $(BIN)
