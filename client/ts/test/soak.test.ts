import { test } from "node:test";
import assert from "node:assert/strict";
import { connect, MBError, type WebSocketClass } from "../src/index.js";
import { Nodes } from "./nodes.js";
import { Trusting } from "./trusting.js";

// A node that is restarted again and again: nothing acknowledged is lost, no call hangs, and memory stays.

const seconds = Number(process.env.MB_SOAK_SECONDS ?? 20);
const everySeconds = 5;
const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));

test(`${seconds} s with a restart every ${everySeconds} s`, async () => {
  const nodes = new Nodes("ws");
  await nodes.control("start", "a", {});
  const options = { WebSocket: Trusting as WebSocketClass, backoffMinMs: 20, backoffMaxMs: 500, log: null };
  const address = await nodes.address("a");
  const subscriber = await connect(address, options);
  const publisher = await connect(address, options);
  const got = new Set<number>();
  const subscriptions = await Promise.all(
    Array.from({ length: 50 }, (_, i) => subscriber.subscribe(`soak.s${i}`, (m) => void got.add(m.data.n))),
  );
  await subscriber.handle("soak.echo", (r) => r.data);
  let reconnects = 0;
  let refused = 0;
  const failed = new Map<string, number>();
  subscriber.on("reconnect", ({ failed }) => {
    reconnects++;
    refused += failed.length;
  });

  const acknowledged: { id: number; at: number }[] = [];
  // What a node has acknowledged in the moment before it is killed may be in its memory still.
  const killed: [from: number, to: number][] = [];
  const lost = (all: typeof acknowledged) =>
    all.filter(({ id, at }) => !got.delete(id) && !killed.some(([from, to]) => at > from && at < to)).map(({ id }) => id);
  const open = new Set<Promise<unknown>>();
  let calls = 0;
  let n = 0;
  let ends = false;
  // Counts a call until it is settled.
  const track = (call: Promise<unknown>) => {
    calls++;
    const settled = call
      .catch((error: MBError) => failed.set(error.code, (failed.get(error.code) ?? 0) + 1))
      .finally(() => open.delete(settled));
    open.add(settled);
  };
  const work = async () => {
    while (!ends) {
      for (let i = 0; i < 20; i++) {
        const id = n++;
        track(publisher.publishAck(`soak.s${id % 50}`, { n: id }).then(() => acknowledged.push({ id, at: Date.now() })));
        track(publisher.request("soak.echo", id, { timeoutMs: 2000 }));
      }
      await sleep(10);
      // What was delivered need not be kept.
      if (acknowledged.length > 20_000) assert.deepEqual(lost(acknowledged.splice(0, 10_000)), [], "acknowledged, and lost");
    }
  };
  const working = work();
  const heap: number[] = [];
  let kills = 0;
  for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
    await sleep(Math.min(everySeconds * 1000, end - Date.now()));
    // By turns: it says that it goes, and it does not.
    const kill = kills++ % 2 === 1;
    await nodes.control("end", "a", { with: kill ? "KILL" : "TERM", wait: true });
    if (kill) killed.push([Date.now() - 500, Date.now() + 500]);
    await nodes.control("start", "a", {});
    await Promise.all([subscriber.whenConnected({ timeoutMs: 10_000 }), publisher.whenConnected({ timeoutMs: 10_000 })]);
    globalThis.gc?.();
    heap.push(process.memoryUsage().heapUsed);
  }
  ends = true;
  await working;
  const late = new Promise((_, reject) =>
    setTimeout(() => reject(new Error(`${open.size} calls are not settled`)), 10_000).unref(),
  );
  await Promise.race([Promise.all(open), late]);
  await sleep(500);
  assert.deepEqual(lost(acknowledged), [], "acknowledged, and lost");
  for (const [i, s] of subscriptions.entries()) {
    assert(!s.closed, `subscription ${i} has ended`);
    assert.equal((await publisher.publishAck(`soak.s${i}`, { n: -1 })).subscribers, 1);
  }
  assert.equal(refused, 0);
  assert(reconnects >= kills - 1, `${reconnects} reconnects after ${kills} restarts`);
  const known = ["DISCONNECTED", "NO_ROUTE_FOUND", "SERVICE_UNAVAILABLE", "TIMEOUT", "BUFFER_FULL"];
  for (const code of failed.keys()) assert(known.includes(code), `calls failed with ${code}`);
  console.log(
    `${kills} restarts, ${reconnects} reconnects, ${calls} calls, failed: ${JSON.stringify(Object.fromEntries(failed))},`,
    `heap in MiB: ${heap.map((b) => (b / 2 ** 20).toFixed(1)).join(" ")}`,
  );
  // The last is not much more than the second: the first holds what is made once.
  if (globalThis.gc && heap.length > 3) assert(heap.at(-1)! < heap[1]! + 8 * 2 ** 20, "memory grows");
  await Promise.all([subscriber.close(), publisher.close()]);
  await nodes.end();
});
