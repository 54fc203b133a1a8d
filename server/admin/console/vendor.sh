#!/usr/bin/env bash
# Fetches what the console's page takes from others, from npm, into page/vendor: as it is, but for
# names of modules, which a browser finds by path, and source maps, which are left out.
# With --check nothing is written: it says whether page/vendor is what npm has.
set -euo pipefail
cd "$(dirname "$0")"

preact=preact@11.2.0 htm=htm@3.1.1 uplot=uplot@1.6.32

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for p in "$preact" "$htm" "$uplot"; do
	name=${p%@*}
	mkdir "$work/$name"
	tar xzf "$work/$(cd "$work" && npm pack --silent "$p" | tail -1)" -C "$work/$name" --strip-components 1
done

out=$work/vendor
mkdir "$out"
local_names() { sed -E 's#from"preact"#from"./preact.js"#g; s#//\# sourceMappingURL=.*##' "$1"; }
local_names "$work/preact/dist/preact.mjs" >"$out/preact.js"
local_names "$work/preact/hooks/dist/hooks.mjs" >"$out/hooks.js"
cp "$work/htm/dist/htm.module.js" "$out/htm.js"
cp "$work/uplot/dist/uPlot.iife.min.js" "$work/uplot/dist/uPlot.min.css" "$out/"
{
	echo "What this folder holds is fetched from npm by ../../vendor.sh: $preact, $htm, $uplot."
	for name in preact htm uplot; do
		printf '\n==== %s\n\n' "$name"
		cat "$work/$name/LICENSE"
	done
} >"$out/LICENSES.txt"

if [ "${1:-}" = --check ]; then
	diff -r "$out" page/vendor && echo "page/vendor is what npm has"
else
	rm -rf page/vendor
	cp -r "$out" page/vendor
fi
