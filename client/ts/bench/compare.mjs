// Messages a second from one program through a broker to another, with this client and with nats.js, over WebSocket, on the same
// work: 128 bytes of JSON, made of an object and read into one.
//
//   make build bench-peers && cd client/ts && npm ci && npm run build && npm install --no-save @nats-io/nats-core
//   node bench/compare.mjs             # Node 22 or newer: both clients use its WebSocket
import { spawn } from "node:child_process";
import { join } from "node:path";
import { connect } from "../dist/index.js";

const count = 200_000;
const payload = (n) => ({ n, text: "x".repeat(105) });
const [kind, role, address] = process.argv.slice(2);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const clients = {
  async mb(url) {
    const mb = await connect(url, { outboundBytes: 1 << 20 });
    return {
      subscribe: (f) => mb.subscribe("bench.topic", ({ data }) => f(data)),
      async publish(data) {
        for (;;) {
          try {
            return mb.publish("bench.topic", data);
          } catch (error) {
            if (error.code !== "BUFFER_FULL") throw error;
            await mb.flush();
          }
        }
      },
      taken: () => mb.ping(),
      close: () => mb.close(),
    };
  },
  async nats(url) {
    const { wsconnect } = await import("@nats-io/nats-core");
    const nc = await wsconnect({ servers: url });
    let n = 0;
    return {
      subscribe: (f) => nc.subscribe("bench.topic", { callback: (_, m) => f(m.json()) }),
      async publish(data) {
        nc.publish("bench.topic", JSON.stringify(data));
        if (++n % 1000 === 0) await nc.flush(); // It has no bound of its own.
      },
      taken: () => nc.flush(),
      close: () => nc.close(),
    };
  },
};

async function play() {
  const client = await clients[kind](address);
  if (role === "in") {
    let got = 0;
    let first;
    const all = new Promise((done) => {
      client.subscribe(() => {
        first ??= performance.now();
        if (++got === count) done();
      });
    });
    await client.taken();
    console.log("ready");
    await Promise.race([all, sleep(60_000)]);
    console.log(`in ${Math.round(got / ((performance.now() - first) / 1000))} ${got}`);
  } else {
    const started = performance.now();
    for (let n = 0; n < count; n++) await client.publish(payload(n));
    await client.taken();
    console.log(`out ${Math.round(count / ((performance.now() - started) / 1000))}`);
  }
  await client.close();
  process.exit();
}

function start(command, argv, ready) {
  const child = spawn(command, argv, { stdio: ["ignore", "pipe", "pipe"] });
  child.said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part) => (child.said += part));
  child.ended = new Promise((done) => child.once("exit", done));
  child.ready = (async () => {
    while (ready && !child.said.includes(ready)) {
      if (child.exitCode !== null) throw new Error(child.said);
      await sleep(5);
    }
  })();
  return child;
}

async function measure(kind, command, argv, ready, address) {
  const broker = start(command, argv, ready);
  if (ready) await broker.ready;
  else await sleep(1000); // It says nothing.
  const self = new URL(import.meta.url).pathname;
  const subscriber = start(process.execPath, [self, kind, "in", address], "ready");
  await subscriber.ready;
  const publisher = start(process.execPath, [self, kind, "out", address], "out");
  await Promise.all([subscriber.ended, publisher.ended]);
  broker.kill();
  await broker.ended;
  return [publisher.said.match(/out (\d+)/)?.[1], ...(subscriber.said.match(/in (\d+) (\d+)/) ?? []).slice(1)].map(Number);
}

if (kind) {
  await play();
} else {
  const bin = new URL("../../../bin", import.meta.url).pathname;
  const settings = { "ports.ws": 14224, "ports.tcp": 0, "admin.address": "", "connection.outbound.bytes": "64MiB", "connection.outbound.messages": 1_000_000 };
  const set = Object.entries(settings).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
  console.log("client, messages/s out, in, received of", count);
  for (let n = 0; n < 3; n++) {
    console.log("mb", ...(await measure("mb", join(bin, "mb-server"), set, '"ready"', "ws://localhost:14224")));
    const nats = [join(bin, "peers/nats"), ["-ws", "14223"], undefined, "ws://127.0.0.1:14223"];
    console.log("nats.js", ...(await measure("nats", ...nats)));
  }
}
