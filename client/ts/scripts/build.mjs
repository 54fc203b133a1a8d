// Builds dist: types, index.js for bundlers and Node, and index.min.js for pages without a bundler.
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

process.chdir(new URL("..", import.meta.url).pathname);

/** What the whole client may have, minified and gzipped, in bytes; and its smallest part, minified. */
const limit = 8192;
const limitAlone = 512;

const shared = {
  bundle: true,
  format: "esm",
  target: "es2022",
  // What begins with _ is nobody's business, and gets short names.
  mangleProps: /^_/,
  tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
  logLevel: "warning",
};

rmSync("dist", { recursive: true, force: true });
execFileSync("node_modules/.bin/tsc", ["-p", "tsconfig.build.json"], { stdio: "inherit" });
await build({ ...shared, entryPoints: ["src/index.ts"], sourcemap: true, outfile: "dist/index.js" });
// What is left after esbuild and terser is 2 % less than after either.
const once = await build({ ...shared, entryPoints: ["dist/index.js"], minify: true, write: false });
const { code } = await minify(once.outputFiles[0].text, { module: true, ecma: 2020, compress: { passes: 3 } });
writeFileSync("dist/index.min.js", code);

const packed = gzipSync(readFileSync("dist/index.min.js"), { level: 9 }).length;
console.log(`dist/index.min.js: ${packed} bytes gzipped, at most ${limit}`);

// Who takes one thing gets little more than that.
const { outputFiles } = await build({
  stdin: { contents: 'export { MBError } from "./dist/index.js"', resolveDir: "." },
  bundle: true,
  minify: true,
  format: "esm",
  write: false,
});
const alone = outputFiles[0].contents.length;
console.log(`MBError alone: ${alone} bytes, at most ${limitAlone}`);
if (packed > limit || alone > limitAlone) process.exit(1);
