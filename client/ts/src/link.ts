import { lost, malformed, MBError, parseError } from "./errors.js";
import type { CallOptions, Limits, WebSocketLike } from "./types.js";
import { bounded, later, sleep } from "./wait.js";
import { checkLength, checkTopic, decode, join, parse, textIn, type Header, type Payload } from "./wire.js";

// One connection, and what dies with it.

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
  resolve(answer: Payload): void;
  reject(error: MBError): void;
}

/** What a link is told, and tells. */
export interface LinkOwner {
  keepAliveMs: number;
  outboundBytes: number;
  maxCalls: number;
  /** A publish, a request, or an error that answers nothing has come. */
  came(link: Link, header: Header, payload: Payload): void;
  /** The connection is gone. Called once. */
  gone(link: Link): void;
}

/** How a call is made. */
export interface CallWay extends CallOptions {
  parentId?: string | undefined;
  /** Sent along: the broker keeps it. */
  deadlineMs?: number | undefined;
}

const hex = Array.from(crypto.getRandomValues(new Uint8Array(10)), (b) => (b + 256).toString(16).slice(1)).join("");
const idHead = hex.replace(/^(.{8})(.{4}).(.{3}).(.{3}).*/, "$1-$2-4$3-8$4-");
let idTail = 0;

export class Link {
  welcome: Welcome = {};
  /** Settled with the welcome, or why there is none. */
  readonly greeted: Promise<void>;
  /** What stands at the broker, as far as it is known: by key, what was sent to make it. */
  readonly held = new Map<string, string>();
  /** Work on the same key in turn. */
  readonly turns = new Map<string, Promise<unknown>>();
  /** Keys whose revocation came while they were asked for. */
  readonly doubted = new Set<string>();
  /** 0: in use. 1: it comes while another one delivers. 2: another one takes its place. 3: all ends here. */
  stage: 0 | 1 | 2 | 3 = 0;
  identified: Identification | undefined;
  /** Wrong tokens shown. */
  refusals = 0;
  /** Why the connection is gone; undefined: it lives. */
  cause: MBError | undefined;
  /** Why it will be, as somebody has said. */
  said: MBError | undefined;
  readonly born = Date.now();
  /** The node has ended it after all that it had to say. */
  orderly = false;
  /** The node goes away: when it closes the connection, and when at the latest. */
  notice: { slot: number; deadline: number } | undefined;
  /** What is held back; undefined: nothing is. */
  corked: Payload[] | undefined;
  /** Requests that have come and are not answered. */
  serving = 0;

  readonly #owner: LinkOwner;
  readonly #ws: WebSocketLike & { terminate?(): void };
  readonly #calls = new Map<string, Call>();
  #corkedBytes = 0;
  #heard = Date.now();
  #asked = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #abort = new AbortController();
  #greet: ((error?: MBError) => void) | undefined;
  #bye: Promise<void> | undefined;
  #gone: (() => void) | undefined;

  constructor(owner: LinkOwner, ws: WebSocketLike, url: string) {
    this.#owner = owner;
    this.#ws = ws;
    this.greeted = new Promise((resolve, reject) => {
      this.#greet = (error) => (error ? reject(error) : resolve());
    });
    ws.binaryType = "arraybuffer";
    let failure = "";
    ws.onerror = (event) => (failure ||= event?.message || "");
    ws.onclose = ({ code, reason }) => {
      this.orderly = code === 1001;
      this.fail(lost(`${url}: ${failure || `closed with code ${code} ${reason}`}`));
    };
    ws.onmessage = ({ data }) => this.#take(data);
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
    return this.#abort.signal;
  }

  /** Whether a call is open, or a request is to be answered. */
  get busy(): boolean {
    return this.#calls.size + this.serving > 0;
  }

  /** Sends what was held back. */
  uncork(): void {
    const held = this.corked ?? [];
    this.corked = undefined;
    this.#corkedBytes = 0;
    for (const message of held) this.#ws.send(message);
  }

  /** Ends the connection. The first cause stays. */
  fail(cause: MBError): void {
    if (this.cause) return;
    cause = this.cause = this.said ?? cause;
    clearTimeout(this.#timer);
    const ws = this.#ws;
    ws.onmessage = ws.onclose = null;
    ws.onerror = () => {};
    if (ws.terminate) ws.terminate();
    else ws.close();
    this.#failCalls(cause);
    this.#greet?.(cause);
    this.#abort.abort(cause);
    this.#gone?.();
    this.#owner.gone(this);
  }

  /** Closes it after what was sent before, for at most two seconds. */
  goodbye(cause: MBError): Promise<void> {
    return (this.#bye ??= new Promise((resolve) => {
      if (this.cause) return resolve();
      this.#gone = resolve;
      this.said = cause;
      this.#failCalls(cause);
      this.uncork();
      this.#ws.close(1000);
      later(() => this.fail(cause), 2000);
    }));
  }

  #failCalls(error: MBError): void {
    for (const call of this.#calls.values()) call.reject(error);
    this.#calls.clear();
  }

  /** Refuses what the broker would refuse, and what finds no room. */
  check(topic: string, payload: Payload): void {
    checkTopic(topic);
    checkLength(payload, this.welcome.limits?.payloadBytes, topic);
    if (this.full || this.#calls.size >= this.#owner.maxCalls) {
      throw new MBError("BUFFER_FULL", "too much waits to be sent, or to be answered", { topic });
    }
  }

  send(header: string, payload: Payload): void {
    const message = join(header, payload);
    if (this.corked) {
      this.corked.push(message);
      this.#corkedBytes += message.length;
    } else if (!this.cause) {
      this.#ws.send(message);
    }
  }

  /** Sends what is answered, and waits for the answer. */
  async call(action: string, topic: string, version: string, payload: Payload, way: CallWay = {}): Promise<Payload> {
    way.signal?.throwIfAborted();
    if (this.cause) throw this.cause;
    const id = idHead + (++idTail).toString(16).padStart(12, "0");
    const { parentId = "", deadlineMs = "" } = way;
    const answer = new Promise<Payload>((resolve, reject) => this.#calls.set(id, { topic, resolve, reject }));
    this.send(`${action}:${topic}:${version}:${id}${parentId || deadlineMs ? `:${parentId}:${deadlineMs}` : ""}`, payload);
    try {
      return await bounded(answer, way);
    } finally {
      this.#calls.delete(id);
    }
  }

  /** A request to the broker about this connection. */
  system(topic: string, payload = "{}"): Promise<Payload> {
    return this.call("request", `system.${topic}`, "1.0.0", payload);
  }

  /** Settled when nothing waits to be sent, or less than may; or the connection is gone. */
  async room(all: boolean): Promise<void> {
    for (let ms = 0; !this.cause && (all ? this.buffered : this.full); ms = Math.min(ms + 1, 16)) await sleep(ms);
  }

  #take(data: string | ArrayBuffer): void {
    this.#heard = Date.now();
    this.#asked = false;
    const [header, payload] = parse(data);
    const { action, topic, id } = header;
    if (this.#greet) return this.#welcomed(action + topic, payload);
    const call = this.#calls.get(id);
    if (action === "response" && call) {
      this.#calls.delete(id);
      const error = parseAnswer(payload, call.topic, id);
      if (error) call.reject(error);
      else call.resolve(payload);
    } else if (action === "request" && topic === "system.heartbeat") {
      this.send("response:system.heartbeat:1.0.0", "{}");
    } else {
      this.#owner.came(this, header, payload);
    }
  }

  #welcomed(what: string, payload: Payload): void {
    if (what !== "publishsystem.initialize") return this.fail(malformed("this is no broker"));
    try {
      this.welcome = decode(payload) as Welcome;
    } catch {
      // A broker that says nothing useful here is still a broker.
    }
    this.identified = this.welcome.auth;
    this.#greet!();
    this.#greet = undefined;
    if (this.#owner.keepAliveMs > 0) this.#watch();
  }

  /** Notices a broker that fell silent. A program that slept, or was busy, asks before it gives up. */
  #watch(): void {
    const keep = this.#owner.keepAliveMs;
    const silent = Date.now() - this.#heard;
    if (this.#asked) return this.fail(lost(`no sign of life for ${silent} ms`));
    this.#asked = silent >= keep;
    if (this.#asked) this.system("heartbeat").catch(() => {});
    this.#timer = later(() => this.#watch(), this.#asked ? keep : keep - silent);
  }
}

/** The error that an answer says. Most say none, which is quick to see. */
function parseAnswer(answer: Payload, topic: string, id: string): MBError | undefined {
  const first = typeof answer === "string" ? answer.charCodeAt(0) : answer[0];
  return first === 123 || first! <= 32 ? parseError(textIn(answer), topic, id) : undefined;
}
