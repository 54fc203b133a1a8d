#!/usr/bin/env bash
# Looks at every view of the console in a browser (views.mjs), asks the page what operators ask (questions.mjs), does what can be done there (actions.mjs), and holds what the page tells to what happens (troubles.mjs); `make console` builds the node and calls it. Needs npm and Chromium.
set -euo pipefail
cd "$(dirname "$0")"

# Debian's own Node may be older than what the browser's driver is for.
version=$(node --version 2>/dev/null | sed -E 's/^v([0-9]+).*/\1/' || true)
if [ "${version:-0}" -lt 20 ]; then
	[ -z "${MB_TS_NODE:-}" ] || { echo "console: Node $(node --version) is too old" >&2; exit 1; }
	exec env MB_TS_NODE=1 npm exec --yes --package=node@22 -- bash ci.sh "$@"
fi
for name in chromium chromium-browser google-chrome; do
	CHROMIUM=${CHROMIUM:-$(command -v $name || true)}
done
[ -n "$CHROMIUM" ] || { echo "console: views are looked at in Chromium: apt-get install chromium" >&2; exit 1; }
export CHROMIUM

npm ci --no-audit --no-fund --silent
node views.mjs "$@"
node questions.mjs
node actions.mjs
node troubles.mjs
