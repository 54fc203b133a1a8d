// Builds dist: modules with types for bundlers and Node, and one file for pages without either.
import { execFileSync } from "node:child_process";
import { rmSync, statSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

process.chdir(new URL("..", import.meta.url).pathname);

/** What the whole client may have in one file, gzipped, in bytes. */
const limit = 8192;

rmSync("dist", { recursive: true, force: true });
execFileSync("node_modules/.bin/tsc", ["-p", "tsconfig.build.json"], { stdio: "inherit" });
const outfile = "dist/mbserver-client.min.js";
await build({
  entryPoints: ["src/index.ts"],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  // What begins with _ is nobody's business, and gets short names.
  mangleProps: /^_/,
  tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
  sourcemap: true,
  outfile,
  logLevel: "warning",
});
const packed = gzipSync(readFileSync(outfile), { level: 9 }).length;
console.log(`${outfile}: ${statSync(outfile).size} bytes, ${packed} gzipped (at most ${limit})`);
if (packed > limit) process.exit(1);

// Who takes one thing gets little more than that.
const { outputFiles } = await build({
  stdin: { contents: 'export { MBError } from "./dist/index.js"', resolveDir: "." },
  bundle: true,
  minify: true,
  format: "esm",
  write: false,
});
const alone = outputFiles[0].contents.length;
console.log(`MBError alone: ${alone} bytes`);
if (alone > 1024) process.exit(1);
