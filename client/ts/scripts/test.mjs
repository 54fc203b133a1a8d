// Builds the tests and runs them: node scripts/test.mjs [flags of node --test] files…
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { build } from "esbuild";

process.chdir(new URL("..", import.meta.url).pathname);
const names = process.argv.slice(2).filter((a) => !a.startsWith("-"));
const flags = process.argv.slice(2).filter((a) => a.startsWith("-"));
const all = readdirSync("test").filter((f) => f.endsWith(".test.ts"));
const wanted = all.filter((f) => !names.length || names.some((name) => f.startsWith(name)));
rmSync("build/test", { recursive: true, force: true });
await build({
  entryPoints: wanted.map((f) => `test/${f}`),
  outdir: "build/test",
  bundle: true,
  packages: "external",
  external: ["/runner.js"],
  platform: "node",
  format: "esm",
  target: "node20",
  sourcemap: "inline",
  logLevel: "warning",
});
// Pages take the client that is shipped.
const shipped = {
  name: "shipped",
  setup: (b) => b.onResolve({ filter: /src\/index\.js$/ }, () => ({ path: "mbserver-client", external: true })),
};
await build({
  entryPoints: ["test/runner.ts"],
  outdir: "build/page",
  bundle: true,
  format: "esm",
  target: "es2022",
  plugins: [shipped],
  logLevel: "warning",
});
const files = wanted.map((f) => `build/test/${f.replace(/ts$/, "js")}`);
const { status } = spawnSync(process.execPath, ["--enable-source-maps", "--expose-gc", "--test", "--test-reporter=spec", ...flags, ...files], { stdio: "inherit" });
process.exit(status ?? 1);
