import { MBError, parseError } from "./errors.js";
import type { Limits, WebSocketClass, WebSocketLike } from "./types.js";
import { byteLength, checkTopic, decode, join, parse, type Header, type Payload } from "./wire.js";

// One connection, and what dies with it.

const systemVersion = "1.0.0";
const success = '{"status":"success"}';
/** The longest body of a refused handshake, in characters. */
const maxRefusal = 16_384;

/** Who a connection is, as the broker says it. */
export interface Identification {
  required?: boolean;
  identity?: string;
  expiresAt?: string;
}

interface Welcome {
  serviceId?: string;
  nodeId?: string;
  serverVersion?: string;
  limits?: Limits;
  auth?: Identification;
}

interface Call {
  topic: string;
  settle(answer: Payload | undefined, error?: unknown): void;
}

/** What a link tells. */
export interface LinkOwner {
  /** Settings. */
  readonly keepAliveMs: number;
  readonly outboundBytes: number;
  readonly maxCalls: number;
  /** A publish, a request, or an error that answers nothing has come. */
  came(link: Link, header: Header, payload: Payload): void;
  /** The connection is gone. Called once, and never from the constructor. */
  gone(link: Link): void;
}

/** How a call is made. */
export interface CallWay {
  signal?: AbortSignal | undefined;
  timeoutMs?: number | undefined;
  parent?: string | undefined;
  /** Sent along: the broker's. */
  deadlineMs?: number | undefined;
  /** It is taken even when much waits. */
  urgent?: boolean;
}

const random = crypto.getRandomValues(new Uint8Array(10));
const hex = Array.from(random, (b) => b.toString(16).padStart(2, "0")).join("");
const idHead = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(12, 15)}-8${hex.slice(15, 18)}-`;
let idTail = 0;
/** Of this program: random bits and a counter. */
const nextId = (): string => idHead + (++idTail).toString(16).padStart(12, "0");

/** Fails with why the signal has ended. */
export const reasonOf = (signal: AbortSignal): unknown =>
  signal.reason ?? new DOMException("This operation was aborted", "AbortError");

export const lost = (message: string, cause?: unknown): MBError =>
  new MBError("DISCONNECTED", message, { cause });

export class Link {
  welcome: Welcome = {};
  /** What stands at the broker, as far as it is known: by key, what was sent to make it. */
  readonly held = new Map<string, string>();
  /** Work on the same key in turn. */
  readonly turns = new Map<string, Promise<void>>();
  /** Keys whose revocation came while they were asked for. */
  readonly doubted = new Set<string>();
  /** joining: another one delivers still. leaving: another one takes its place. */
  stage: "steady" | "joining" | "leaving" = "steady";
  identified: Identification | undefined;
  /** Wrong tokens shown. */
  refusals = 0;
  /** Why the connection is gone; undefined: it lives. */
  cause: MBError | undefined;
  /** The error with which the broker ends it. */
  said: MBError | undefined;
  readonly born = Date.now();
  /** Even the handlers end here. */
  ended = false;
  /** The peer has ended the connection, after all that it had to say. */
  orderly = false;
  /** The node's notice that it goes away: when it closes the connection, and when at the latest. */
  notice: { slot: number; deadline: number } | undefined;

  readonly #owner: LinkOwner;
  readonly #ws: WebSocketLike;
  readonly #calls = new Map<string, Call>();
  #serving = 0;
  #idle: (() => void) | undefined;
  #corked: Payload[] | undefined;
  #corkedBytes = 0;
  #heard = Date.now();
  #asked = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #abort: AbortController | undefined;
  #ending = false;
  readonly #sleepers = new Set<() => void>();
  #greet: ((error?: MBError) => void) | undefined;
  /** Settled with the welcome, or why there is none. */
  readonly greeted: Promise<void>;

  constructor(owner: LinkOwner, WebSocket: WebSocketClass, url: string) {
    this.#owner = owner;
    this.greeted = new Promise((resolve, reject) => {
      this.#greet = (error) => (error ? reject(error) : resolve());
    });
    this.greeted.catch(() => {});
    const ws = new WebSocket(url);
    this.#ws = ws;
    ws.binaryType = "arraybuffer";
    let failure = "";
    ws.onerror = (event) => (failure = event?.error?.message || event?.message || "");
    ws.onclose = ({ code, reason }) => {
      this.orderly = code === 1001;
      const how = `closed with code ${code}${reason ? ` ${reason}` : ""}`;
      this.fail(lost(this.#greet ? `no connection to ${url}: ${failure || how}` : failure || how));
    };
    ws.onmessage = ({ data }) => this.#take(data);
    this.#hearRefusal(ws);
  }

  /** The package `ws` tells with what answer a handshake was refused (protocol §4). */
  #hearRefusal(ws: any): void {
    if (typeof ws.on !== "function" || typeof ws.terminate !== "function") return;
    ws.on("unexpected-response", (_request: unknown, response: any) => {
      let body = "";
      const status: number = response.statusCode;
      const done = () => {
        const said = parseError(body);
        const details = { ...said?.details };
        const after = Number(response.headers["retry-after"]);
        if (after > 0) details.retryAfterMs ??= after * 1000;
        const code =
          { 401: "UNAUTHORIZED", 403: "FORBIDDEN", 429: "RATE_LIMIT_EXCEEDED" }[status] ??
          (status === 503 ? "SERVICE_UNAVAILABLE" : "INTERNAL_ERROR");
        const text = `the handshake was refused with ${status} ${body.slice(0, 200)}`.trim();
        this.fail(new MBError(said?.code ?? code, text, { details }));
      };
      response.on("data", (part: unknown) => body.length < maxRefusal && (body += String(part)));
      response.on("end", done).on("error", done).on("close", done);
    });
  }

  /** Bytes that wait to be sent. */
  get buffered(): number {
    return this.#ws.bufferedAmount + this.#corkedBytes;
  }

  get full(): boolean {
    return this.buffered >= this.#owner.outboundBytes;
  }

  /** Ends with the connection. */
  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.cause) this.#abort.abort(this.cause);
    return this.#abort.signal;
  }

  /** Holds back what is sent, until false. */
  cork(shut: boolean): void {
    if (shut) {
      this.#corked ??= [];
      return;
    }
    const held = this.#corked ?? [];
    this.#corked = undefined;
    this.#corkedBytes = 0;
    for (const message of held) this.#ws.send(message);
  }

  /** Ends the connection. The first cause stays. */
  fail(cause: MBError): void {
    if (this.cause) return;
    this.cause = this.said ?? cause;
    clearTimeout(this.#timer);
    const ws = this.#ws as WebSocketLike & { terminate?(): void };
    ws.onmessage = ws.onclose = null;
    ws.onerror = () => {};
    try {
      if (ws.terminate) ws.terminate();
      else ws.close();
    } catch {
      // It was never open.
    }
    this.#failCalls(this.cause);
    this.#greet?.(this.cause);
    this.#greet = undefined;
    this.#abort?.abort(this.cause);
    this.#ending = true;
    this.wake();
    this.#owner.gone(this);
  }

  /** Waits, and reports whether the connection is still of use. */
  pause(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#sleepers.delete(done);
        resolve(!this.#ending);
      };
      const timer = setTimeout(done, Math.min(Math.max(ms, 0), 2 ** 31 - 1));
      this.#sleepers.add(done);
      if (this.#ending) done();
    });
  }

  /** Ends every pause. */
  wake(): void {
    for (const done of [...this.#sleepers]) done();
  }

  /** Closes it after what was sent before, for at most two seconds. */
  goodbye(cause: MBError): Promise<void> {
    if (this.cause) return Promise.resolve();
    this.#failCalls(cause);
    this.cork(false);
    this.#ending = true;
    this.wake();
    this.said = cause;
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(patience);
        this.fail(cause);
        resolve();
      };
      const patience = setTimeout(end, 2000);
      this.#sleepers.add(end);
      try {
        this.#ws.close(1000);
      } catch {
        end();
      }
    });
  }

  #failCalls(error: MBError): void {
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const call of calls) call.settle(undefined, error);
  }

  /** Refuses what the broker would refuse, or what would cost the connection. */
  check(topic: string, payload: Payload): void {
    checkTopic(topic);
    const limit = this.welcome.limits?.payloadBytes ?? Infinity;
    const length = byteLength(payload, limit);
    if (length > limit) {
      const message = `the payload has ${length} bytes, the broker's limit is ${limit}`;
      throw new MBError("MALFORMED_MESSAGE", message, { topic });
    }
  }

  checkRoom(topic: string): void {
    if (this.#calls.size >= this.#owner.maxCalls || this.full) {
      throw new MBError("BUFFER_FULL", "too much waits to be sent, or to be answered", { topic });
    }
  }

  send(header: string, payload: Payload): void {
    const message = join(header, payload);
    if (this.#corked) {
      this.#corked.push(message);
      this.#corkedBytes += message.length;
    } else if (!this.cause) {
      this.#ws.send(message);
    }
  }

  /** Sends what is answered, and waits for the answer. */
  call(head: string, topic: string, version: string, payload: Payload, way: CallWay = {}): Promise<Payload> {
    return new Promise((resolve, reject) => {
      const { signal, timeoutMs } = way;
      if (signal?.aborted) throw reasonOf(signal);
      if (this.cause) throw this.cause;
      if (!way.urgent) this.checkRoom(topic);
      const id = nextId();
      let timer: ReturnType<typeof setTimeout> | undefined;
      const settle = (answer: Payload | undefined, error?: unknown) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        const refused = answer && parseAnswer(answer, topic, id);
        if (answer === undefined || refused) reject(refused || error);
        else resolve(answer);
      };
      const giveUp = (error: unknown) => {
        if (this.#finish(id)) settle(undefined, error);
      };
      const abort = () => giveUp(reasonOf(signal!));
      signal?.addEventListener("abort", abort);
      if (timeoutMs !== undefined) {
        const late = () => giveUp(timedOut(topic, id));
        timer = setTimeout(late, Math.min(timeoutMs, 2 ** 31 - 1));
      }
      this.#calls.set(id, { topic, settle });
      let header = `${head}:${topic}:${version}:${id}`;
      if (way.parent || way.deadlineMs) header += `:${way.parent ?? ""}:${way.deadlineMs ?? ""}`;
      this.send(header, payload);
    });
  }

  /** A request to the broker about this connection. */
  system(topic: string, payload = "{}", way: CallWay = {}): Promise<Payload> {
    return this.call("request", topic, systemVersion, payload, { urgent: true, ...way });
  }

  /** Forgets a call; true: it was there, and is the caller's to settle. */
  #finish(id: string): boolean {
    const known = this.#calls.delete(id);
    this.#tellIdle();
    return known;
  }

  /** Counts a request that has come (1), or was answered (-1). */
  serve(delta: number): void {
    this.#serving += delta;
    this.#tellIdle();
  }

  /** Settled when no call is open and no request is to be answered. For one caller. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#idle = resolve;
      this.#tellIdle();
    });
  }

  #tellIdle(): void {
    if (this.#idle && this.#calls.size === 0 && this.#serving === 0) this.#idle();
  }

  #take(data: unknown): void {
    this.#heard = Date.now();
    this.#asked = false;
    const parsed = parse(data);
    if (!parsed) {
      if (this.#greet) this.fail(new MBError("MALFORMED_MESSAGE", "this is no broker"));
      return;
    }
    const [header, payload] = parsed;
    if (this.#greet) return this.#welcomed(header, payload);
    const { action, topic, id } = header;
    if (action === "response") {
      const call = this.#calls.get(id);
      if (call) {
        this.#finish(id);
        call.settle(payload);
        return;
      }
    } else if (action === "request" && topic.toLowerCase() === "system.heartbeat") {
      this.send(`response:system.heartbeat:${systemVersion}${id && ":" + id}`, success);
      return;
    }
    this.#owner.came(this, header, payload);
  }

  #welcomed(header: Header, payload: Payload): void {
    if (header.action !== "publish" || header.topic.toLowerCase() !== "system.initialize") {
      const refused = parseError(decode(payload, "text") as string);
      this.fail(refused ?? new MBError("MALFORMED_MESSAGE", "this is no broker"));
      return;
    }
    try {
      this.welcome = (decode(payload) as Welcome | undefined) ?? {};
    } catch {
      // A broker that says nothing useful here is still a broker.
    }
    this.identified = this.welcome.auth;
    this.#greet?.();
    this.#greet = undefined;
    this.#watch();
  }

  /** Notices a broker that fell silent. A program that slept, or was busy, asks before it gives up. */
  #watch(): void {
    const keep = this.#owner.keepAliveMs;
    if (!(keep > 0)) return;
    const silent = Date.now() - this.#heard;
    if (this.#asked) {
      this.fail(lost(`no sign of life from the broker for ${silent} ms`));
      return;
    }
    this.#asked = silent >= keep;
    if (this.#asked) void this.system("system.heartbeat").catch(() => {});
    const wait = this.#asked ? keep : keep - Math.max(silent, 0);
    this.#timer = setTimeout(() => this.#watch(), wait);
  }
}

/** The error that an answer says. */
function parseAnswer(answer: Payload, topic: string, id: string): MBError | undefined {
  const first = typeof answer === "string" ? answer.charCodeAt(0) : answer[0];
  if (first === undefined || first > 123 || (first < 123 && first > 32)) return undefined;
  return parseError(decode(answer, "text") as string, topic, id);
}

export const timedOut = (topic?: string, requestId?: string): MBError =>
  new MBError("TIMEOUT", "no answer in time", { topic, requestId, cause: "the client gave up" });
