#!/usr/bin/env bash
# What CI does with the TypeScript client; `make ts` builds the node and calls it. Needs npm, Chromium and OpenSSL.
set -euo pipefail
cd "$(dirname "$0")"

version() { node --version 2>/dev/null | sed -E 's/^v([0-9]+).*/\1/'; }
say() { printf -- '--- %s (%ds)\n' "$1" "$SECONDS"; }

# Debian's own Node may be older than what the client is for.
if [ "$(version || true)" -lt 20 ]; then
	[ -z "${MB_TS_NODE:-}" ] || { echo "client/ts: Node $(node --version) is too old" >&2; exit 1; }
	say "Node 22 in place of $(node --version)"
	exec env MB_TS_NODE=1 npm exec --yes --package=node@22 -- bash ci.sh
fi
for command in npm openssl; do
	command -v $command >/dev/null || { echo "client/ts: $command is missing: apt-get install $command" >&2; exit 1; }
done
for name in chromium chromium-browser google-chrome; do
	CHROMIUM=${CHROMIUM:-$(command -v $name || true)}
done
[ -n "$CHROMIUM" ] || { echo "client/ts: pages are tried in Chromium: apt-get install chromium" >&2; exit 1; }
export CHROMIUM

say "install, Node $(node --version)"
npm ci --no-audit --no-fund
say "build: size, types"
npm run --silent build
say "check: tsc --strict"
npm run --silent check
say "test: scenarios in Node and in pages, what is packed, a soak"
npm run --silent test
if [ "$(version)" -lt 22 ]; then
	say "test: scenarios with the WebSocket of Node 22"
	MB_OWN=1 NODE_TLS_REJECT_UNAUTHORIZED=0 npm exec --yes --package=node@22 -- node --no-warnings scripts/test.mjs scenarios
fi
say "scenarios in Deno and in Bun, where they are"
npm run --silent elsewhere
say "docs"
npm run --silent docs
say "all passed"
