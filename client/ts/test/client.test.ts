import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { connect, MBError, retryAfter, type Client, type Message } from "../src/index.js";
import { network, welcome, type Peer } from "./fake.js";

// What needs a broker that misbehaves, or one moment rather than another.

const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));
const code = (wanted: string) => (error: unknown) => error instanceof MBError && error.code === wanted;

async function pair(greets = welcome("a"), options = {}): Promise<[Client, Peer]> {
  const { peers, WebSocket } = network(greets);
  const client = await connect("ws://a", { WebSocket, log: null, ...options });
  return [client, peers[0]!];
}

test("addresses get their ports", async () => {
  const { peers, WebSocket } = network((peer) => peer.ends(1006));
  const given = ["ws://a", "wss://b/path", "ws://[::1]", "ws://c:80", "wss://d:443/x"];
  await assert.rejects(connect(given, { WebSocket }), code("DISCONNECTED"));
  const wanted = ["ws://a:3000", "wss://b:8000/path", "ws://[::1]:3000", "ws://c:80", "wss://d:443/x"];
  assert.deepEqual(peers.map(({ url }) => url), wanted);
});

test("who is no broker, says nothing, or is given up", async () => {
  const rude = network((peer) => peer.says("publish:hello:1.0.0", {}));
  await assert.rejects(connect("ws://a", rude), code("MALFORMED_MESSAGE"));
  const silent = network(() => {});
  await assert.rejects(connect("ws://a", { ...silent, connectTimeoutMs: 20 }), code("TIMEOUT"));
  const signal = AbortSignal.timeout(20);
  await assert.rejects(connect("ws://a", { ...silent, signal }), { name: "TimeoutError" });
  for (const { closed } of [...rude.peers, ...silent.peers]) assert(closed, "a connection was left open");
});

test("what finds no room is refused, and flush waits", async () => {
  const [client, peer] = await pair(undefined, { outboundBytes: 1000, maxCalls: 1 });
  peer.bufferedAmount = 1000;
  assert.throws(() => client.publish("a", 1), code("BUFFER_FULL"));
  await assert.rejects(client.publishAck("a", 1), code("BUFFER_FULL"));
  const flushed = client.flush();
  await sleep(10);
  peer.bufferedAmount = 0;
  await flushed;
  client.publish("a", 1);
  peer.answer = () => undefined;
  const waits = client.request("b");
  await assert.rejects(client.request("c"), code("BUFFER_FULL"));
  assert.throws(() => client.publish("a", "x".repeat(99)), code("MALFORMED_MESSAGE"));
  assert.throws(() => client.publish("a", "é".repeat(50)), code("MALFORMED_MESSAGE"));
  await Promise.all([assert.rejects(waits, code("CLOSED")), client.close()]);
});

test("topics, versions and IDs cannot smuggle a header", async () => {
  const [client, peer] = await pair();
  for (const topic of ["a\nb", "a:b", "", "a..b", "1a", "a.b.c.d.e.f", "a.+", "é"]) {
    assert.throws(() => client.publish(topic, 1), code("MALFORMED_MESSAGE"), topic);
  }
  await assert.rejects(client.request("a", 1, { parentId: "x:5\n" }), code("MALFORMED_MESSAGE"));
  await assert.rejects(connect("ws://a", { ...network(welcome("a")), version: "1.0.0\n" }), code("MALFORMED_MESSAGE"));
  assert.equal(peer.sent.length, 0);
  await client.close();
});

test("a stream ends with its loop, with a revocation, and with the client", async () => {
  const [client, peer] = await pair();
  const left = await client.subscribe("left");
  for (const n of [1, 2]) peer.delivers("left", n, n);
  for await (const { data } of left) {
    assert.equal(data, 1);
    break;
  }
  assert(left.closed);
  assert.equal(peer.sent.at(-1)!.topic, "system.topic.unsubscribe");

  const revoked = await client.subscribe("revoked");
  peer.delivers("revoked", 1, 3);
  const taken = (async () => {
    for await (const _ of revoked) peer.says("publish:system.topic.revoked:1.0.0", { action: "publish", topic: "Revoked" });
  })();
  await assert.rejects(taken, code("FORBIDDEN"));

  const closed = await client.subscribe("closed");
  const ends = (async () => {
    for await (const _ of closed);
  })();
  await client.close();
  await ends;
});

for (const whenFull of ["newest", "oldest"] as const) {
  test(`a full subscription drops the ${whenFull}, and says so`, async () => {
    const [client, peer] = await pair();
    const told: unknown[] = [];
    client.on("dropped", ({ count, subscription }) => told.push(["dropped", count, subscription?.pattern]));
    let go = () => {};
    const held = new Promise<void>((done) => (go = done));
    const take = ({ data }: Message) => (told.push(data), held);
    await client.subscribe("s", take, { pendingBytes: 3 * 129, whenFull });
    for (let n = 0; n < 10; n++) peer.delivers("s", n, n);
    go();
    await sleep(5);
    peer.delivers("s", 9, 10);
    const gap = ["dropped", 6, "s"];
    assert.deepEqual(told, whenFull === "newest" ? [0, gap, 1, 2, 3, 9] : [0, gap, 7, 8, 9, 9]);
    await client.close();
  });
}

test("payloads are JSON, text or bytes; what is no JSON is told", async () => {
  const [client, peer] = await pair();
  const got: unknown[] = [];
  const errors: string[] = [];
  client.on("error", ({ code, topic }) => errors.push(`${code} ${topic}`));
  for (const as of ["json", "text", "bytes"] as const) await client.subscribe("s", ({ data }) => got.push(data), { as });
  const bytes = new TextEncoder().encode("publish:s:1.0.0\n{");
  peer.onmessage!({ data: bytes.buffer });
  assert.deepEqual(got, ["{", new Uint8Array([123])]);
  assert.deepEqual(errors, ["MALFORMED_MESSAGE s"]);
  await client.subscribe("s", () => Promise.reject(new Error("no")));
  await client.subscribe("s", () => {
    throw new Error("no");
  });
  peer.delivers("s", 1, 1);
  await sleep(1);
  assert.deepEqual(errors.slice(1), ["CALLBACK_ERROR s", "CALLBACK_ERROR s"]);
  client.publish("s", new Uint8Array([1, 2]));
  client.publish("s", "plain", { as: "text" });
  client.publish("s");
  assert.deepEqual(peer.sent.slice(-3).map((m) => m.payload), ["\x01\x02", "plain", ""]);
  await client.close();
});

test("a broker that falls silent is asked, and then left", async () => {
  const greets = welcome("a");
  const [client, peer] = await pair(greets, { keepAliveMs: 20, reconnect: false });
  await sleep(60);
  assert(client.connected, "it answers");
  peer.answer = () => undefined;
  const cause = await new Promise<MBError>((done) => client.on("disconnect", done));
  assert.match(cause.message, /no sign of life/);
  await sleep(1);
  assert.equal(client.error?.code, "DISCONNECTED");
});

test("a move: in order, once, and every call on the connection it belongs to", async () => {
  const { peers, WebSocket } = network((peer) => welcome(peer.url.includes("//a") ? "a" : "b")(peer));
  const client = await connect("ws://a,ws://b", { WebSocket, log: null, backoffMinMs: 1 });
  const got: number[] = [];
  const events: string[] = [];
  for (const event of ["disconnect", "reconnect", "move", "error"] as const) client.on(event, () => events.push(event));
  await client.subscribe("s", ({ data }) => got.push(data));
  const [a] = peers as [Peer];
  const success = { status: "success" };
  const asked: string[] = [];
  a.answer = ({ topic, id }) => {
    asked.push(topic);
    // The old node is slow to say that all is handled.
    if (/unsubscribe|heartbeat/.test(topic)) setTimeout(() => a.says(`response:${topic}:1.0.0:${id}`, success), 30);
    return undefined;
  };
  const pending = client.request("question");
  a.says("publish:system.drain:1.0.0", { reconnectAfterMs: 20, deadlineMs: 2000 });
  for (const end = Date.now() + 2000; !asked.includes("system.heartbeat") && Date.now() < end; ) await sleep(1);
  const b = peers[1]!;
  for (const n of [1, 2, 3]) a.delivers("s", n, n);
  for (const n of [2, 3, 4]) b.delivers("s", n, n);
  client.publish("t", "new");
  assert.deepEqual(got, [1, 2, 3], "what the new node brings waits");
  assert(!b.sent.some(({ topic }) => topic === "t"), "what is sent waits too");
  for (const end = Date.now() + 2000; !events.includes("move") && Date.now() < end; ) await sleep(1);
  assert.deepEqual(got, [1, 2, 3, 4]);
  assert.equal(b.sent.at(-1)!.topic, "t");
  assert(!a.closed, "a call is under way there");
  a.says(`response:question:1.0.0:${a.sent.find(({ topic }) => topic === "question")!.id}`, "answer");
  assert.equal(await pending, "answer");
  for (const end = Date.now() + 2000; !a.closed && Date.now() < end; ) await sleep(1);
  assert(a.closed);
  assert.deepEqual(events, ["move"]);
  await client.close();
});

test("publishes of the moment between two nodes wait", async () => {
  let b: (() => void) | undefined;
  const greets = (peer: Peer) => {
    if (peer.url.includes("//a")) welcome("a")(peer);
    else b = () => welcome("b")(peer);
  };
  const { peers, WebSocket } = network(greets);
  const client = await connect("ws://a,ws://b", { WebSocket, log: null, backoffMinMs: 1 });
  peers[0]!.says("publish:system.drain:1.0.0", { reconnectAfterMs: 1, deadlineMs: 1000 });
  for (const end = Date.now() + 2000; !b && Date.now() < end; ) await sleep(1);
  peers[0]!.ends(1001);
  await sleep(1);
  client.publish("t", 1);
  const acknowledged = client.publishAck("t", 2);
  b!();
  await acknowledged;
  assert.deepEqual(peers[1]!.sent.filter(({ topic }) => topic === "t").map(({ payload }) => payload), ["1", "2"]);
  await client.close();
});

test("a revocation in the middle of a subscription asks once more", async () => {
  const [client, peer] = await pair();
  let asked = 0;
  peer.answer = ({ topic }) => {
    if (topic === "system.topic.subscribe" && ++asked === 1) {
      peer.says("publish:system.topic.revoked:1.0.0", { action: "publish", topic: "s" });
    }
    return { status: "success" };
  };
  const s = await client.subscribe("s", () => {});
  assert.equal(asked, 2);
  assert(!s.closed);
  await client.close();
});

test("a handler has as many as it can take, and its answers fit", async () => {
  const [client, peer] = await pair();
  let go = () => {};
  const held = new Promise<void>((done) => (go = done));
  await client.handle("h", async ({ data }) => (await held, "x".repeat(data)), { concurrency: 1, backlog: 1 });
  const id = (n: number) => `00000000-0000-4000-8000-00000000000${n}`;
  for (const n of [1, 2, 3]) peer.says(`request:h:1.0.0:${id(n)}`, n === 2 ? 200 : 1);
  go();
  await sleep(5);
  const answers = peer.sent.filter(({ action }) => action === "response").map((m) => [m.id, JSON.parse(m.payload)]);
  assert.deepEqual(answers.map(([at, a]) => [at, a.error?.code ?? a, a.error?.details?.reason]), [
    [id(3), "SERVICE_UNAVAILABLE", "handler_busy"],
    [id(1), "x", undefined],
    [id(2), "INTERNAL_ERROR", undefined],
  ]);
  await client.close();
});

test("refused credentials are not shown again at once", async () => {
  let good = true;
  const { peers, WebSocket } = network((peer) => {
    peer.answer = ({ topic }) =>
      topic === "system.auth" && !good ? { error: { code: "UNAUTHORIZED", message: "", details: { reason: "invalid" } } } : {};
    welcome("a", { auth: { required: true } })(peer);
  });
  const client = await connect("ws://a", { WebSocket, token: () => "secret", log: null, backoffMinMs: 1, backoffMaxMs: 1 });
  good = false;
  const errors: string[] = [];
  client.on("error", ({ code }) => errors.push(code));
  peers[0]!.ends(1008);
  await sleep(100);
  assert.equal(peers.length, 2);
  assert.deepEqual(errors, ["UNAUTHORIZED"]);
  await client.close();
});

/** A clock on which waits of seconds take no time, and what they were, in ms. */
function clock(t: TestContext) {
  const pauses: number[] = [];
  let ahead = 0;
  const { setTimeout: real } = globalThis;
  const { now } = Date;
  const pass = (ms: number) => (ahead += ms);
  t.mock.method(Date, "now", () => now() + ahead);
  t.mock.method(globalThis, "setTimeout", (done: () => void, ms: number) => {
    if (ms < 5000 || ms > 500_000) return real(done, ms);
    pauses.push(ms);
    return real(() => (pass(ms), done()), 0);
  });
  return { pauses, pass };
}

test("who was kicked comes back later, and later each time, until it stood for long", async (t) => {
  const { peers, WebSocket } = network(welcome("a"));
  const client = await connect("ws://a", { WebSocket, log: null, connectTimeoutMs: 1000, keepAliveMs: 1_000_000, backoffMinMs: 1 });
  const told: string[] = [];
  client.on("error", ({ code }) => told.push(`error ${code}`));
  client.on("disconnect", ({ code, details }) => told.push(`disconnect ${code} ${details.reason}`));
  const { pauses, pass } = clock(t);
  const steps = [[15, 30], [30, 60], [60, 120], [120, 240], [150, 300], [150, 300], [15, 30]] as const;
  for (const [n, [least, most]] of steps.entries()) {
    // What stood for longer than the longest pause is forgotten.
    if (n === steps.length - 1) pass(400_000);
    const back = new Promise((done) => client.on("reconnect", done));
    peers.at(-1)!.says("response:error:1.0.0", { error: { code: "FORBIDDEN", message: "out", details: { reason: "kicked" } } });
    peers.at(-1)!.ends(1008);
    await back;
    const waited = pauses.splice(0);
    assert.equal(waited.length, 1, `${waited}`);
    assert(waited[0]! >= least * 1000 && waited[0]! <= most * 1000, `kick ${n + 1} waits ${waited[0]} ms`);
  }
  assert.deepEqual(told, steps.map(() => "disconnect FORBIDDEN kicked"));
  await client.close();
});

test("without reconnecting a kick is the end, and says why", async () => {
  const [client, peer] = await pair(undefined, { reconnect: false });
  const end = new Promise<MBError>((done) => client.on("close", done));
  peer.says("response:error:1.0.0", { error: { code: "FORBIDDEN", message: "out", details: { reason: "kicked" } } });
  peer.ends(1008);
  assert.equal((await end).details.reason, "kicked");
  assert.equal(client.error?.code, "FORBIDDEN");
});

test("whose identity has ended comes back at once with the next token", async (t) => {
  const tokens = ["first", "second"];
  const { peers, WebSocket } = network(welcome("a", { auth: { required: true } }));
  const client = await connect("ws://a", { WebSocket, log: null, token: () => tokens.shift()!, connectTimeoutMs: 1000, keepAliveMs: 1_000_000 });
  const { pauses } = clock(t);
  const back = new Promise((done) => client.on("reconnect", done));
  peers[0]!.says("response:error:1.0.0", { error: { code: "UNAUTHORIZED", message: "over", details: { reason: "expired" } } });
  peers[0]!.ends(1008);
  await back;
  assert.deepEqual(pauses, []);
  assert.equal(peers[1]!.sent[0]!.payload, '{"token":"second"}');
  await client.close();
});

test("retryAfter", () => {
  const after = (code: string, details = {}) => retryAfter(new MBError(code, "", { details }));
  assert.equal(after("RATE_LIMIT_EXCEEDED", { retryAfterMs: 5 }), 5);
  assert.equal(after("RATE_LIMIT_EXCEEDED", { retryAfterMs: 1e9 }), 60_000);
  assert.equal(after("SERVICE_UNAVAILABLE"), 1000);
  assert.equal(after("SERVICE_UNAVAILABLE", { reason: "subscription_limit" }), undefined);
  assert.equal(after("NO_ROUTE_FOUND"), undefined);
  assert.equal(retryAfter(new Error("x")), undefined);
});

test("what a broker of several nodes says is passed on", async () => {
  const [client, peer] = await pair();
  const told = new Promise((done) => client.on("dropped", done));
  const gap = { count: 3, atMost: true, reason: "cluster", since: "s", until: "u" };
  peer.says("publish:system.dropped:1.0.0", gap);
  assert.deepEqual(await told, gap);
  peer.answer = () => ({ status: "success", subscribers: 2, unconfirmed: 1 });
  assert.equal((await client.publishAck("s")).unconfirmed, 1);
  await client.close();
});

test("errors whose details are none", async () => {
  const [client, peer] = await pair();
  for (const details of [null, "words", 5]) {
    const error = { code: "OUT_OF_PAPER", message: "", details };
    peer.answer = () => ({ error });
    const failed = await client.request("print").then(() => undefined, (e: MBError) => e);
    assert.equal(failed?.code, "OUT_OF_PAPER");
    assert.equal(failed.details.reason, undefined);
    assert.equal(retryAfter(failed), undefined);
    const told = new Promise<MBError>((done) => client.on("error", done));
    peer.says("response:print:1.0.0", { error });
    assert.equal((await told).code, "OUT_OF_PAPER");
  }
  await client.close();
});
