import { malformed, MBError } from "./errors.js";
import type { CallWay, Link } from "./link.js";
import { registrationKey, Session } from "./session.js";
import { Subscription } from "./subscription.js";
import type {
  Ack,
  CallOptions,
  Events,
  HandleOptions,
  Handler,
  Info,
  Message,
  Options,
  PublishOptions,
  Registration,
  RequestOptions,
  SubscribeOptions,
  WebSocketClass,
} from "./types.js";
import { bounded, sleep } from "./wait.js";
import { decode, encode, isSystem, isUUID, isVersion, type Decoded, type Format, type Header, type Payload } from "./wire.js";
import { refuse, Worker } from "./worker.js";

/** The longest timeout of a request that a broker takes by default. */
const maxTimeoutMs = 3_600_000;
/** How long after a request's time its answer, which is the broker's TIMEOUT, may come. */
const timeoutGrace = 500;

/** Addresses with their ports. */
const parseAddresses = (given: string | string[]): string[] =>
  String(given)
    .split(",")
    .map((address) =>
      address
        .trim()
        .replace(/^(wss?):..(\[.+]|[^:/]+)(?=\/|$)/, (at, scheme) => at + (scheme === "ws" ? ":3000" : ":8000")),
    );

function registrationOf(r: string | Registration): string {
  const { name, description = name, ...rest } = typeof r === "string" ? { name: r } : r;
  return JSON.stringify({ name, description, ...rest });
}

const closed = (): MBError => new MBError("CLOSED", "the client is closed");

/**
 * Connects to a broker at `ws://host:port` or `wss://host:port` (3000 and 8000 when left out) and
 * waits for its welcome. Several addresses are those of one broker, or of others as good: the first
 * that answers is used, and after a loss the next ones are tried first.
 */
export async function connect(addresses: string | string[], options: Options = {}): Promise<Client> {
  const client = new Client(parseAddresses(addresses), options);
  await client._session._start(options.signal);
  return client;
}

/** A connection to a broker, renewed when it is lost. See {@link connect}. */
export class Client {
  /** @internal */
  readonly _session: Session;
  private readonly _version: string;
  private readonly _log: (...words: unknown[]) => void;
  private readonly _listeners: { [E in keyof Events]?: Set<(...args: any[]) => void> } = {};
  /** Publishes that wait for the next connection. */
  private _waiting = 0;
  private _logged = 0;

  /** @internal */
  constructor(addresses: string[], options: Options) {
    const { WebSocket, name, version = "1.0.0", log = console.warn, ...rest } = options;
    const Socket = WebSocket ?? (globalThis as { WebSocket?: WebSocketClass }).WebSocket;
    if (!Socket) throw malformed("no WebSocket: see the option");
    if (!isVersion(version)) throw malformed(`version ${version} is not MAJOR.MINOR.PATCH`);
    this._log = log ?? (() => {});
    this._version = version;
    this._session = new Session(this, addresses, {
      connectTimeoutMs: 10_000,
      keepAliveMs: 30_000,
      outboundBytes: 1 << 20,
      maxCalls: 65_536,
      reconnect: true,
      attempts: 0,
      backoffMinMs: 100,
      backoffMaxMs: 10_000,
      token: undefined,
      ...rest,
      WebSocket: Socket,
    });
    if (name) this._session._registration = registrationOf(name);
  }

  /** Whether there is a connection at this moment. */
  get connected(): boolean {
    return !!this._session._link;
  }

  /** Why the client is finished: `CLOSED`, or how the last connection was lost; undefined: it is not. */
  get error(): MBError | undefined {
    return this._session._finished;
  }

  /** What the broker has told of the connection, or of the last there was. */
  get info(): Info {
    const { _welcome, _identified } = this._session._last;
    return { limits: {}, ..._welcome, ..._identified };
  }

  /** Bytes that wait to be sent. */
  get bufferedBytes(): number {
    return this._session._link?._buffered ?? 0;
  }

  // ---- messages

  /**
   * Sends a message to every subscriber of the topic, and does not wait. It throws when it was not
   * sent: `DISCONNECTED`, or `BUFFER_FULL`, after which {@link flush} waits for room. Errors of the
   * broker, `NO_ROUTE_FOUND` above all, go to the event `error`.
   */
  publish(topic: string, data?: unknown, options: PublishOptions = {}): void {
    const session = this._session;
    const payload = encode(data, options.as);
    const send = (link: Link) => {
      link._check(topic, payload);
      link._send(`publish:${topic}:${this._version}`, payload);
    };
    if (session._link || !session._moving || this._waiting > 1000) return send(session._current());
    // The node went away a moment before the next one is there.
    this._waiting++;
    session
      ._usable()
      .then(send)
      .catch((error) => this._emit("error", error))
      .finally(() => this._waiting--);
  }

  /**
   * Sends a message and waits for the broker's acknowledgement. No subscriber at all is the error
   * `NO_ROUTE_FOUND`. After `DISCONNECTED`, `TIMEOUT` or an abort it may have been delivered or not.
   */
  async publishAck(topic: string, data?: unknown, options: PublishOptions & CallOptions = {}): Promise<Ack> {
    const answer = await this._call("publish", topic, encode(data, options.as), options);
    return { subscribers: 0, dropped: 0, ...(decode(answer) as object) };
  }

  /**
   * Sends a request to one service and returns its answer. `timeoutMs` goes with it: the broker
   * answers `TIMEOUT` then (5 s when left out). An answer of the form `{"error":{"code":…}}` is
   * thrown as {@link MBError}, whoever wrote it.
   */
  async request<T = any, F extends Format = "json">(
    topic: string,
    data?: unknown,
    options: RequestOptions<F> = {},
  ): Promise<Decoded<F, T>> {
    const { as, signal, parentId, timeoutMs } = options;
    if (parentId && !isUUID(parentId)) throw malformed(`the parent ID ${parentId} is no UUID`, topic);
    const way: CallWay = { signal, parentId };
    if (timeoutMs !== undefined) {
      const longest = this.info.limits.timeoutMs || maxTimeoutMs;
      way.deadlineMs = Math.ceil(Math.min(Math.max(timeoutMs, 1), longest));
      way.timeoutMs = way.deadlineMs + timeoutGrace;
    }
    return decode(await this._call("request", topic, encode(data, as), way), as, topic) as Decoded<F, T>;
  }

  /** A request to the broker itself: `system.…`. */
  async system(topic: string, data: object = {}, options: CallOptions = {}): Promise<any> {
    return decode(await this._call("request", topic, encode(data), options));
  }

  private async _call(action: string, topic: string, payload: Payload, way: CallWay): Promise<Payload> {
    way.signal?.throwIfAborted();
    const link = this._session._link ?? (await bounded(this._session._usable(), way));
    link._check(topic, payload);
    return link._call(action, topic, isSystem(topic) ? "1.0.0" : this._version, payload, way);
  }

  // ---- subscriptions

  /**
   * Subscribes to every topic that matches the pattern (`+` is any one level; `#`, at the end, any
   * levels or none), and returns when the broker has confirmed. The callback gets the messages one
   * after the other: while a promise that it returned is pending the next ones wait. Without a
   * callback the subscription is a stream, for `for await`.
   */
  subscribe<T = any, F extends Format = "json">(
    pattern: string,
    callback: (message: Message<Decoded<F, T>>) => unknown,
    options?: SubscribeOptions<F>,
  ): Promise<Subscription<Decoded<F, T>>>;
  subscribe<T = any, F extends Format = "json">(
    pattern: string,
    options?: SubscribeOptions<F>,
  ): Promise<Subscription<Decoded<F, T>>>;
  async subscribe(pattern: string, ...rest: unknown[]): Promise<Subscription> {
    const callback = typeof rest[0] === "function" ? (rest.shift() as (message: Message) => unknown) : undefined;
    const options = (rest[0] ?? {}) as SubscribeOptions<Format>;
    const { overflow, conflate } = options;
    const wish = { action: "publish", topic: pattern.toLowerCase(), overflow, conflate };
    return this._make(new Subscription(this, wish, callback, options), options);
  }

  /**
   * Answers the requests on topics that match the pattern with what the function returns, or throws.
   * Among several of one client that match, the one of the highest priority serves, then the first.
   */
  async handle<T = any, F extends Format = "json">(
    pattern: string,
    handler: Handler<F, T>,
    options: HandleOptions<F> = {},
  ): Promise<Subscription> {
    const wish = { action: "request", topic: pattern.toLowerCase(), priority: options.priority };
    const s = new Subscription(this, wish, () => {}, {});
    s._worker = new Worker(handler as (request: any) => unknown, options);
    return this._make(s, options);
  }

  private async _make(s: Subscription, options: CallOptions): Promise<Subscription> {
    options.signal?.throwIfAborted();
    if (this._session._draining) throw closed();
    this._session._registry._add(s);
    try {
      await bounded(this._stand(s), options);
      if (s.error) throw s.error;
      return s;
    } catch (error) {
      s._end();
      this._forget(s).catch(() => {}); // It may have reached the broker.
      throw error;
    }
  }

  /** Returns when the connection in use has it. */
  private async _stand(s: Subscription): Promise<void> {
    const session = this._session;
    for (let link: Link | undefined; link !== session._link || !link; ) {
      link = await session._usable();
      try {
        await session._sync(link, s._key);
      } catch (error) {
        if (link === session._link || !session._link) throw error;
      }
    }
  }

  /** @internal */
  _forget(s: Subscription, options?: CallOptions): Promise<void> {
    this._session._registry._remove(s);
    return bounded(this._session._settle(s._key), options);
  }

  /** @internal */
  _deliver(header: Header, payload: Payload): void {
    for (const s of this._session._registry._route("publish", header.topic)) s._push(header, payload);
  }

  /** @internal */
  _serve(link: Link, header: Header, payload: Payload): void {
    const worker = this._session._registry._route("request", header.topic)[0]?._worker;
    if (worker) worker._accept(link, header, payload);
    else refuse(link, header, "no_handler");
  }

  /** Gives the client a name and a description, now and on every connection that follows. */
  async register(registration: Registration, options?: CallOptions): Promise<void> {
    const session = this._session;
    const before = session._registration;
    const mine = (session._registration = registrationOf(registration));
    try {
      await bounded(session._usable().then((link) => session._sync(link, registrationKey)), options);
    } catch (error) {
      if (session._registration === mine) session._registration = before;
      session._settle(registrationKey).catch(() => {});
      throw error;
    }
  }

  // ---- the connection

  /** Settled when there is a connection: what failed with `DISCONNECTED` can be tried again. */
  async whenConnected(options?: CallOptions): Promise<void> {
    const session = this._session;
    await bounded(session._until(Infinity, () => session._link ?? session._finished), options);
    session._current();
  }

  /** Asks the broker for a sign of life. It has taken then all that was sent before. */
  async ping(options?: CallOptions): Promise<void> {
    await this.system("system.heartbeat", {}, options);
  }

  /** Settled when nothing waits to be sent. */
  async flush(options?: CallOptions): Promise<void> {
    const link = this._session._current();
    await bounded(link._flush(), options);
    if (link._cause) throw link._cause;
  }

  /**
   * Ends the client in order: unsubscribes everything, lets callbacks, loops and handlers finish
   * what has come, waits until the broker has taken all that was sent, and closes. When it is given
   * up it closes at once, and fails.
   */
  async drain(options?: CallOptions): Promise<void> {
    const session = this._session;
    const drain = async () => {
      session._current();
      session._draining = true;
      await Promise.all(session._registry._keys().map((key) => session._settle(key)));
      while (session._registry._all().some((s) => (s._worker ?? s)._busy)) await sleep(5);
      await this.ping();
    };
    try {
      await bounded(drain(), options);
    } finally {
      await this.close();
    }
  }

  /**
   * Ends the connection after what was sent before, for at most two seconds. Calls under way fail
   * with `CLOSED`; messages that wait for their callback are dropped.
   */
  close(): Promise<void> {
    return this._session._finish(closed());
  }

  // ---- events

  /** Calls the function whenever it happens; what is returned ends that. */
  on<E extends keyof Events>(event: E, listener: (...args: Events[E]) => void): () => void {
    const all: Set<(...args: any[]) => void> = (this._listeners[event] ??= new Set());
    all.add(listener);
    return () => void all.delete(listener);
  }

  /** @internal */
  _emit(event: keyof Events, about: any): void {
    const listeners = this._listeners[event];
    for (const listener of listeners ?? []) {
      try {
        listener(about);
      } catch (error) {
        this._log(`mb: a listener of ${event} failed:`, error);
      }
    }
    // What nobody listens to and somebody should know is said, once a second.
    const worth = /^(error|dropped|disconnect|revoked)$/.test(event) && about.code !== "NO_ROUTE_FOUND";
    if (listeners?.size || !worth || Date.now() < this._logged) return;
    this._logged = Date.now() + 1000;
    this._log(`mb: ${event}:`, about.pattern ?? about);
  }
}
