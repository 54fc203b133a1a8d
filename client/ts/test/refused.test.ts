import assert from "node:assert/strict";
import { createServer, STATUS_CODES, type Server } from "node:http";
import type { Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { WebSocketServer, WebSocket } from "ws";
import { connect, MBError, retryAfter, type WebSocketClass } from "../src/index.js";
import { Nodes } from "./nodes.js";

// Who refuses a handshake, and says why: the package ws shows it, a browser and Node's own WebSocket do not.

const options = { WebSocket: WebSocket as WebSocketClass, log: null };
const told = (code: string, details: object) => JSON.stringify({ error: { code, message: "no", details } });

async function listening(t: TestContext, server: Server): Promise<string> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return `ws://127.0.0.1:${(server.address() as { port: number }).port}`;
}

/** Refuses as it is told; "" at the end leaves the answer open, and "cut" breaks it off. */
function refuse(socket: Socket, status: number, headers: string[], body: string, end = "whole"): void {
  const length = Buffer.byteLength(body) + (end === "whole" ? 0 : 100);
  const head = [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, `Content-Length: ${length}`, ...headers];
  socket.write(`${head.join("\r\n")}\r\n\r\n${body}`);
  if (end === "cut") setTimeout(() => socket.destroy(), 5);
}

test("a refused handshake says why, and when to come again", async (t) => {
  let answer: Parameters<typeof refuse> extends [Socket, ...infer Rest] ? Rest : never;
  const server = createServer().on("upgrade", (_, socket) => refuse(socket as Socket, ...answer));
  const address = await listening(t, server);
  const refused = async (...with_: typeof answer): Promise<MBError> => {
    answer = with_;
    const error = await connect(address, { ...options, connectTimeoutMs: 1000 }).then(() => undefined, (e: MBError) => e);
    assert(error instanceof MBError, String(error));
    return error;
  };
  const inAnHour = new Date(Date.now() + 3_600_000).toUTCString();
  const cases: [wanted: string, after: unknown, ...typeof answer][] = [
    ["SERVICE_UNAVAILABLE", 2000, 503, ["Retry-After: 2"], "the proxy is busy"],
    ["RATE_LIMIT_EXCEEDED", 0, 429, ["Retry-After: 0"], ""],
    ["SERVICE_UNAVAILABLE", 0, 503, ["Retry-After: Thu, 01 Jan 1970 00:00:00 GMT"], ""],
    ["SERVICE_UNAVAILABLE", 0, 503, ["Retry-After: soon"], ""],
    ["SERVICE_UNAVAILABLE", undefined, 503, [], ""],
    ["UNAUTHORIZED", undefined, 401, [], "{"],
    ["FORBIDDEN", undefined, 403, [], '{"error":{}}'],
    ["INTERNAL_ERROR", undefined, 404, [], "not found"],
    ["UNAUTHORIZED", 1234, 429, ["Retry-After: 9"], told("UNAUTHORIZED", { reason: "locked_out", retryAfterMs: 1234 })],
    ["RATE_LIMIT_EXCEEDED", 3000, 429, ["Retry-After: 3"], told("RATE_LIMIT_EXCEEDED", { limit: 5 })],
    ["SERVICE_UNAVAILABLE", 1000, 503, ["Retry-After: 1"], '{"error":{"code":"SERVICE_UNAVAILABLE","details":null}}'],
    ["SERVICE_UNAVAILABLE", 1000, 503, ["Retry-After: 1"], "cut off", "cut"],
    ["SERVICE_UNAVAILABLE", undefined, 503, [], "x".repeat(1 << 20)],
  ];
  for (const [wanted, after, ...how] of cases) {
    const error = await refused(...how);
    assert.equal(error.code, wanted, JSON.stringify(how).slice(0, 200));
    assert.equal(error.details.retryAfterMs, after, JSON.stringify(how).slice(0, 200));
  }
  assert.equal(retryAfter(await refused(503, ["Retry-After: 2"], "")), 2000);
  const later = Number((await refused(503, [`Retry-After: ${inAnHour}`], "")).details.retryAfterMs);
  assert(later > 3_500_000 && later <= 3_600_000, `${later}`);
  // Who does not end its answer is left when the time is over.
  answer = [503, [], "", "open"];
  const open = connect(address, { ...options, connectTimeoutMs: 50 });
  await assert.rejects(open, (error) => error instanceof MBError && error.code === "TIMEOUT");
});

test("a client comes again when it was told to", async (t) => {
  const after = 200;
  const brokers = new WebSocketServer({ noServer: true });
  const refusals: number[] = [];
  const attempts: number[] = [];
  let refusing = false;
  const server = createServer().on("upgrade", (request, socket, head) => {
    attempts.push(performance.now());
    if (refusing) {
      refusing = false;
      refusals.push(performance.now());
      return refuse(socket as Socket, 503, ["Retry-After: 1"], told("SERVICE_UNAVAILABLE", { retryAfterMs: after }));
    }
    brokers.handleUpgrade(request, socket, head, (ws) => ws.send("publish:system.initialize:1.0.0\n{}"));
  });
  const client = await connect(await listening(t, server), { ...options, backoffMinMs: 1, backoffMaxMs: 1 });
  refusing = true;
  const again = new Promise((done) => client.on("reconnect", done));
  for (const ws of brokers.clients) ws.terminate();
  await again;
  assert.equal(attempts.length, 3);
  const waited = attempts[2]! - refusals[0]!;
  assert(waited >= after - 1, `it came again after ${waited} ms`);
  await client.close();
});

test("a node whose queue is full says when there is a place", async (t) => {
  const nodes = new Nodes("ws");
  t.after(() => nodes.end());
  await nodes.control("start", "a", { "admission.rate": 1 });
  const address = await nodes.address("a");
  const settled = await Promise.allSettled(Array.from({ length: 20 }, () => connect(address, options)));
  const errors = settled.flatMap((s) => (s.status === "rejected" ? [s.reason as MBError] : []));
  assert(errors.length > 0, "nobody was refused");
  for (const error of errors) {
    assert.equal(`${error.code} ${error.details.reason}`, "SERVICE_UNAVAILABLE admission");
    assert(retryAfter(error)! >= 1000, JSON.stringify(error.details));
  }
  for (const s of settled) if (s.status === "fulfilled") await s.value.close();
});
