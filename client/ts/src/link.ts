import { lost, malformed, MBError, parseError, refusal, type Answer } from "./errors.js";
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
  readonly _settings: { keepAliveMs: number; outboundBytes: number; maxCalls: number };
  /** A publish, a request, or an error that answers nothing has come. */
  _came(link: Link, action: string, header: Header, payload: Payload): void;
  /** The connection is gone. Called once. */
  _gone(link: Link): void;
}

/** How a call is made. */
export interface CallWay extends CallOptions {
  parentId?: string | undefined;
  /** Sent along: the broker keeps it. */
  deadlineMs?: number | undefined;
}

/** What the package `ws` has beside what every WebSocket has. */
interface Socket extends WebSocketLike {
  terminate?(): void;
  on?(event: "unexpected-response", listener: (request: unknown, answer: Answer) => void): void;
}

/** IDs tell the calls of a connection apart, and clients in a log: nobody need be unable to guess them. */
const idHead = "xxxxxxxx-xxxx-4xxx-8xxx-".replace(/x/g, () => Math.floor(Math.random() * 16).toString(16));
let idTail = 0;

export class Link {
  _welcome: Welcome = {};
  /** Settled with the welcome, or why there is none. */
  readonly _greeted: Promise<void>;
  /** What stands at the broker, as far as it is known: by key, what was sent to make it. */
  readonly _held = new Map<string, string>();
  /** Work on the same key in turn. */
  readonly _turns = new Map<string, Promise<unknown>>();
  /** 0: in use. 1: it comes while another one delivers. 2: another one takes its place. 3: all ends here. */
  _stage: 0 | 1 | 2 | 3 = 0;
  _identified: Identification | undefined;
  /** Wrong tokens shown. */
  _refusals = 0;
  /** Why the connection is gone; undefined: it lives. */
  _cause: MBError | undefined;
  /** Why it will be, as somebody has said. */
  _said: MBError | undefined;
  readonly _born = Date.now();
  /** The node has ended it after all that it had to say. */
  _orderly = false;
  /** The node goes away: when it closes the connection, and when at the latest. */
  _notice: { slot: number; deadline: number } | undefined;
  /** What is held back; undefined: nothing is. */
  _corked: Payload[] | undefined;
  /** Ends with the connection. */
  readonly _abort = new AbortController();
  /** Requests that have come and are not answered. */
  _serving = 0;

  private readonly _owner: LinkOwner;
  private readonly _ws: Socket;
  private readonly _calls = new Map<string, Call>();
  private _corkedBytes = 0;
  private _heard = Date.now();
  private _asked = false;
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _greet: ((error?: MBError) => void) | undefined;

  constructor(owner: LinkOwner, ws: Socket, url: string) {
    this._owner = owner;
    this._ws = ws;
    this._greeted = new Promise((resolve, reject) => {
      this._greet = (error) => (error ? reject(error) : resolve());
    });
    ws.binaryType = "arraybuffer";
    // Node's own WebSocket says nothing further when there is no connection.
    ws.onerror = (event) => this._fail(lost(`${url}: ${event.message || "no connection"}`));
    ws.onclose = ({ code, reason }) => {
      this._orderly = code === 1001;
      this._fail(lost(`${url}: closed with code ${code} ${reason}`));
    };
    ws.onmessage = ({ data }) => this._take(data);
    // Only the package ws shows who refuses, and why.
    ws.on?.("unexpected-response", async (_, answer) => this._fail(await refusal(url, answer)));
  }

  /** Bytes that wait to be sent. */
  get _buffered(): number {
    return this._ws.bufferedAmount + this._corkedBytes;
  }

  get _full(): boolean {
    return this._buffered >= this._owner._settings.outboundBytes;
  }

  /** Whether a call is open, or a request is to be answered. */
  get _busy(): boolean {
    return this._calls.size + this._serving > 0;
  }

  /** Sends what was held back. */
  _uncork(): void {
    const held = this._corked ?? [];
    this._corked = undefined;
    this._corkedBytes = 0;
    for (const message of held) this._ws.send(message);
  }

  /** Ends the connection. The first cause stays. */
  _fail(cause: MBError): void {
    if (this._cause) return;
    cause = this._cause = this._said ?? cause;
    clearTimeout(this._timer);
    const ws = this._ws;
    ws.onmessage = ws.onclose = null;
    // The package ws need not wait for the other side.
    (ws.terminate ?? ws.close).call(ws);
    this._failCalls(cause);
    this._greet?.(cause);
    this._abort.abort(cause);
    this._owner._gone(this);
  }

  /** Closes it after what was sent before, for at most two seconds. */
  _goodbye(cause: MBError): void {
    if (this._cause || this._said === cause) return;
    this._said = cause;
    this._failCalls(cause);
    this._uncork();
    this._ws.close(1000);
    clearTimeout(this._timer);
    this._timer = later(() => this._fail(cause), 2000);
  }

  private _failCalls(error: MBError): void {
    for (const call of this._calls.values()) call.reject(error);
    this._calls.clear();
  }

  /** Refuses what the broker would refuse, and what finds no room. */
  _check(topic: string, payload: Payload): void {
    checkTopic(topic);
    checkLength(payload, this._welcome.limits?.payloadBytes, topic);
    if (this._full || this._calls.size >= this._owner._settings.maxCalls) {
      throw new MBError("BUFFER_FULL", "too much waits already", { topic });
    }
  }

  _send(header: string, payload: Payload): void {
    const message = join(header, payload);
    if (this._corked) {
      this._corked.push(message);
      this._corkedBytes += message.length;
    } else if (!this._cause) {
      this._ws.send(message);
    }
  }

  /** Sends what is answered, and waits for the answer. */
  async _call(action: string, topic: string, version: string, payload: Payload, way: CallWay = {}): Promise<Payload> {
    if (this._cause) throw this._cause;
    const id = idHead + (++idTail).toString(16).padStart(12, "0");
    const { parentId = "", deadlineMs = "" } = way;
    const answer = new Promise<Payload>((resolve, reject) => this._calls.set(id, { topic, resolve, reject }));
    this._send(`${action}:${topic}:${version}:${id}${parentId || deadlineMs ? `:${parentId}:${deadlineMs}` : ""}`, payload);
    try {
      return await bounded(answer, way);
    } finally {
      this._calls.delete(id);
    }
  }

  /** A request to the broker about this connection. */
  _system(topic: string, payload = "{}"): Promise<Payload> {
    return this._call("request", `system.${topic}`, "1.0.0", payload);
  }

  /** Settled when nothing waits to be sent, or the connection is gone. */
  async _flush(): Promise<void> {
    for (let ms = 0; !this._cause && this._buffered; ms = Math.min(ms + 1, 16)) await sleep(ms);
  }

  private _take(data: string | ArrayBuffer): void {
    this._heard = Date.now();
    this._asked = false;
    const [action, header, payload] = parse(data);
    const { topic, id } = header;
    if (this._greet) return this._welcomed(action + topic, payload);
    const call = this._calls.get(id);
    if (action === "response" && call) {
      this._calls.delete(id);
      const error = parseError(textIn(payload), call.topic, id);
      if (error) call.reject(error);
      else call.resolve(payload);
    } else if (action === "request" && topic === "system.heartbeat") {
      this._send("response:system.heartbeat:1.0.0", "{}");
    } else {
      this._owner._came(this, action, header, payload);
    }
  }

  private _welcomed(what: string, payload: Payload): void {
    if (what !== "publishsystem.initialize") return this._fail(malformed("this is no broker"));
    try {
      this._welcome = decode(payload) as Welcome;
    } catch {
      // A broker that says nothing useful here is still a broker.
    }
    this._identified = this._welcome.auth;
    this._greet!();
    this._greet = undefined;
    if (this._owner._settings.keepAliveMs > 0) this._watch();
  }

  /** Notices a broker that fell silent. A program that slept, or was busy, asks before it gives up. */
  private _watch(): void {
    const keep = this._owner._settings.keepAliveMs;
    const silent = Date.now() - this._heard;
    if (this._asked) return this._fail(lost(`no sign of life for ${silent} ms`));
    this._asked = silent >= keep;
    if (this._asked) this._system("heartbeat").catch(() => {});
    this._timer = later(() => this._watch(), this._asked ? keep : keep - silent);
  }
}
