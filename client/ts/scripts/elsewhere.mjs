// Runs the scenarios in Deno and in Bun, where they are (DENO and BUN name the programs): node scripts/elsewhere.mjs [scenarios…]
import { spawnSync } from "node:child_process";
import { build } from "esbuild";

process.chdir(new URL("..", import.meta.url).pathname);
const file = "build/elsewhere.js";
const shared = { bundle: true, platform: "node", format: "esm", target: "es2022", logLevel: "warning" };
await build({ ...shared, entryPoints: ["test/elsewhere.ts"], outfile: file });

// The nodes' certificate signs itself.
const programs = {
  deno: [process.env.DENO ?? "deno", "run", "--quiet", "--allow-all", "--unsafely-ignore-certificate-errors", file],
  bun: [process.env.BUN ?? "bun", file],
};
let failed = false;
for (const [name, [program, ...argv]] of Object.entries(programs)) {
  const { stdout, error } = spawnSync(program, ["--version"], { encoding: "utf8" });
  if (error) {
    console.log(`${name}: not here, skipped`);
    continue;
  }
  console.log(`${name} ${stdout.match(/\d+\.\d+\.\d+/)}`);
  const env = { ...process.env, NODE_TLS_REJECT_UNAUTHORIZED: "0", NO_COLOR: "1" };
  failed = spawnSync(program, [...argv, ...process.argv.slice(2)], { stdio: "inherit", env }).status !== 0 || failed;
}
process.exit(failed ? 1 : 0);
