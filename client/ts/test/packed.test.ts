import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createServer } from "node:http";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { Nodes, work } from "./nodes.js";

// The package as it would be published, in an empty project and in a page, by README's own words.

const readme = readFileSync("README.md", "utf8");

/** The block of README.md that follows a line. */
function block(after: string, kind: string): string {
  const [, rest] = readme.split(after);
  const [, text] = rest!.split("```" + kind + "\n");
  return text!.split("```")[0]!;
}

const project = join(work, "project");
mkdirSync(project);

test("npm pack has what is needed, and installs", () => {
  const [packed] = JSON.parse(execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", work], { encoding: "utf8" }));
  const files: string[] = packed.files.map(({ path }: { path: string }) => path);
  for (const file of ["LICENSE", "README.md", "dist/index.js", "dist/index.min.js", "dist/index.d.ts"]) {
    assert(files.includes(file), `${file} is not in the package`);
  }
  assert(packed.size < 72 * 1024, `the package has ${packed.size} bytes`);
  assert(readme.includes(`/${packed.filename} `), `README.md does not name ${packed.filename}`);
  execFileSync("npm", ["init", "-y"], { cwd: project });
  execFileSync("npm", ["install", "--offline", "--no-audit", join(work, packed.filename)], { cwd: project });
  assert.deepEqual(readdirSync(join(project, "node_modules")).filter((f) => !f.startsWith(".")), ["mbserver-client"]);
});

test("the program for Node in README.md prints what it says", async () => {
  const nodes = new Nodes("ws");
  await nodes.control("start", "a", {});
  try {
    // What the program is told to install.
    symlinkSync(resolve("node_modules/ws"), join(project, "node_modules/ws"));
    const program = block("## A program for Node", "js").replace("ws://localhost:3000", await nodes.address("a"));
    const [, name] = /save this as `([^`]+)`/.exec(readme) ?? [];
    writeFileSync(join(project, name!), program);
    const printed = execFileSync(process.execPath, [name!], { cwd: project, encoding: "utf8", timeout: 20_000 });
    assert.equal(printed, block("It prints", ""));
  } finally {
    await nodes.end();
  }
});

test("its types are those of the program", () => {
  const program = block("## A program for Node", "js");
  writeFileSync(join(project, "typed.mts"), program);
  symlinkSync(resolve("node_modules/@types"), join(project, "node_modules/@types"));
  const flags = ["--strict", "--noEmit", "--target", "es2022", "--module", "nodenext", "--lib", "es2023,dom", "--types", "node"];
  const tsc = [resolve("node_modules/typescript/bin/tsc"), ...flags, "typed.mts"];
  const { status, stdout } = spawnSync(process.execPath, tsc, { cwd: project, encoding: "utf8" });
  assert.equal(status, 0, stdout);
});

test("the page in README.md shows what it says", async () => {
  const nodes = new Nodes("ws");
  await nodes.control("start", "a", {});
  const page = block("## A page", "html").replace("ws://localhost:3000", await nodes.address("a"));
  const client = readFileSync(join(project, "node_modules/mbserver-client/dist/index.min.js"));
  const server = createServer(({ url }, response) => {
    const script = url!.endsWith(".js");
    response.setHeader("Content-Type", script ? "text/javascript" : "text/html");
    response.end(script ? client : page);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    const shown = await browser.newPage();
    await shown.goto(`http://localhost:${(server.address() as { port: number }).port}`);
    await shown.getByText('weather.berlin: {"sky":"sunny"}').waitFor({ timeout: 20_000 });
  } finally {
    await browser.close();
    server.close();
    await nodes.end();
  }
});
