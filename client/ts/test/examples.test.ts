import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { freePort, Nodes, work } from "./nodes.js";

// The examples work as they say.

/** Starts a program, and waits for what it says first. */
async function start(file: string, env: Record<string, string>, ...argv: string[]) {
  const child = spawn(process.execPath, [file, ...argv], { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (part) => (said += part));
  const ended = new Promise<number | null>((done) => child.once("exit", done));
  const says = async (what: RegExp) => {
    for (const end = Date.now() + 20_000; !what.test(said); await new Promise((done) => setTimeout(done, 10))) {
      assert(Date.now() < end, `${file} does not say ${what}: ${said}`);
    }
    return said;
  };
  return { child, ended, says };
}

test("the work queue shares its work", async () => {
  const nodes = new Nodes("ws");
  await nodes.control("start", "a", {});
  const env = { MB_SERVER: await nodes.address("a") };
  // Where the example finds what it is told to install.
  const project = join(work, "queue");
  mkdirSync(join(project, "node_modules"), { recursive: true });
  symlinkSync(resolve("."), join(project, "node_modules/mbserver-client"));
  symlinkSync(resolve("node_modules/ws"), join(project, "node_modules/ws"));
  const file = join(project, "work-queue.mjs");
  symlinkSync(resolve("examples/work-queue.mjs"), file);
  const flags = ["--preserve-symlinks", "--preserve-symlinks-main"];
  const run = (...argv: string[]) => start(flags[0]!, env, flags[1]!, file, ...argv);
  const workers = [await run("worker"), await run("worker")];
  for (const { says } of workers) await says(/waiting/);
  const asking = await run("10");
  assert.match(await asking.says(/pieces/), /10 pieces done by 2 workers/);
  assert.equal(await asking.ended, 0);
  for (const { child, ended } of workers) {
    child.kill("SIGINT");
    assert.equal(await ended, 0);
  }
  await nodes.end();
});

test("the map shows flights", async () => {
  const nodes = new Nodes("ws");
  await nodes.control("start", "a", {});
  const node = await nodes.address("a");
  const port = await freePort();
  const { child, says } = await start("examples/flights.mjs", { MB_SERVER: node, PORT: String(port) });
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    await says(/http/);
    const page = await browser.newPage();
    await page.goto(`http://localhost:${port}/?node=${node}`);
    await page.getByText(/^\d\d+ flights$/).waitFor({ timeout: 20_000 });
    await page.selectOption("select", "flights.+.+.late");
    await page.getByText(/^\d flights$/).waitFor({ timeout: 20_000 });
  } finally {
    await browser.close();
    child.kill();
    await nodes.end();
  }
});
