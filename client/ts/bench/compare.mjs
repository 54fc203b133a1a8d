// Messages a second from one program, or page, through a broker to another: with this client, with the client of the original server
// (https://github.com/DeX-Group-LLC/mb-client-js), both at mb-server, and with nats.js at nats-server, over WebSocket on the same work.
//
//   make build bench-peers && cd client/ts && npm ci && npm run build
//   node bench/compare.mjs [node|chromium]…      # Node 22 or newer: the clients use its WebSocket
//
// It fetches the other two into build/peers. MB_CLIENT_JS names a directory that has the original one's sources; COUNT and ROUNDS say how much is done.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import { chromium } from "playwright-core";

process.chdir(new URL("..", import.meta.url).pathname);
const count = Number(process.env.COUNT ?? 200_000);
const rounds = Number(process.env.ROUNDS ?? 3);
const peers = resolve("build/peers");
const original = resolve(process.env.MB_CLIENT_JS ?? join(peers, "mb-client-js"));
const work = resolve("build/bench/work.js");
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// One part of it, in a process of its own.
if (process.argv[2] === "play") {
  const { play } = await import(work);
  const [, , , kind, role, url] = process.argv;
  process.send(await play(kind, role, url, count, () => process.send("ready")));
  process.exit();
}

async function fetchPeers() {
  mkdirSync(peers, { recursive: true });
  const has = (name) => existsSync(join(peers, "node_modules", name));
  // semver is what the original client needs.
  if (!has("semver")) execFileSync("npm", ["install", "--prefix", peers, "--no-audit", "@nats-io/nats-core@3", "semver@7"], { stdio: "inherit" });
  if (!existsSync(original)) {
    execFileSync("git", ["clone", "--depth=1", "https://github.com/DeX-Group-LLC/mb-client-js", original], { stdio: "inherit" });
  }
  await build({
    entryPoints: ["bench/work.mjs"],
    outfile: work,
    bundle: true,
    format: "esm",
    target: "es2022",
    alias: { "mb-client-js": join(original, "src/index.ts") },
    nodePaths: [join(peers, "node_modules")],
    logLevel: "error",
  });
}

const inNode = {
  start: (kind, role, url, ready) =>
    new Promise((done, fail) => {
      const child = spawn(process.execPath, ["bench/compare.mjs", "play", kind, role, url], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
      child.on("message", (told) => (told === "ready" ? ready() : done(told)));
      child.once("exit", (code) => fail(new Error(`${kind} ${role} has ended with ${code}`)));
    }),
  end: () => {},
};

/** Pages in browser contexts of their own, which have processes of their own. */
async function inChromium() {
  const files = createServer(({ url }, response) => {
    response.setHeader("Content-Type", url === "/work.js" ? "text/javascript" : "text/html");
    response.end(url === "/work.js" ? readFileSync(work) : "<!doctype html>");
  });
  await new Promise((done) => files.listen(0, "localhost", done));
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  return {
    async start(kind, role, url, ready) {
      const context = await browser.newContext();
      const page = await context.newPage();
      await page.exposeFunction("ready", ready);
      await page.goto(`http://localhost:${files.address().port}`);
      const part = async ([kind, role, url, count]) => (await import("/work.js")).play(kind, role, url, count, globalThis.ready);
      const told = await page.evaluate(part, [kind, role, url, count]);
      await context.close();
      return told;
    },
    async end() {
      await browser.close();
      files.close();
    },
  };
}

async function measure(where, kind, [command, argv, says], url) {
  const broker = spawn(command, argv, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [broker.stdout, broker.stderr]) stream.on("data", (part) => (said += part));
  const ended = new Promise((done) => broker.once("exit", done));
  while (says && !said.includes(says) && broker.exitCode === null) await sleep(5);
  if (!says) await sleep(1000); // It says nothing.
  let subscriber;
  await new Promise((done, fail) => {
    subscriber = where.start(kind, "in", url, done);
    subscriber.catch(fail);
  });
  const [out, arrived] = await Promise.all([where.start(kind, "out", url, () => {}), subscriber]);
  broker.kill();
  await ended;
  return { out: out.rate, in: arrived.rate, lost: count - arrived.got };
}

const bin = resolve("../../bin");
const settings = { "ports.ws": 14224, "ports.tcp": 0, "admin.address": "", "connection.outbound.bytes": "64MiB", "connection.outbound.messages": 1_000_000, "shutdown.spread": 0 };
const node = [join(bin, "mb-server"), Object.entries(settings).flatMap(([key, value]) => ["--set", `${key}=${value}`]), '"ready"'];
const nats = [join(bin, "peers/nats"), ["-ws", "14223"]];
const all = [
  ["mbserver-client", "mb", node, "ws://localhost:14224"],
  ["mb-client-js", "original", node, "ws://localhost:14224"],
  ["nats.js", "nats", nats, "ws://127.0.0.1:14223"],
];
const thousands = (rates) => {
  const sorted = rates.map((rate) => Math.round(rate / 1000)).sort((a, b) => a - b);
  return `${sorted[sorted.length >> 1]} (${sorted[0]}–${sorted.at(-1)})`;
};

await fetchPeers();
const places = { node: async () => inNode, chromium: inChromium };
const wanted = process.argv.slice(2).length ? process.argv.slice(2) : Object.keys(places);
console.log(`| ${count} messages, thousand a second: median (least–most) of ${rounds} | out | in | lost |\n|---|---|---|---|`);
for (const name of wanted) {
  const where = await places[name]();
  const results = all.map(() => []);
  for (let n = 0; n < rounds; n++) {
    for (const [i, [, ...how]] of all.entries()) results[i].push(await measure(where, ...how));
  }
  for (const [i, [client]] of all.entries()) {
    const of = (key) => results[i].map((r) => r[key]);
    console.log(`| ${client}, ${name} | ${thousands(of("out"))} | ${thousands(of("in"))} | ${Math.max(...of("lost"))} |`);
  }
  await where.end();
}
