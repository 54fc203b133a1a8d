import { MBError } from "./errors.js";
import { reasonOf, type CallWay } from "./link.js";
import { bounded, registrationKey, Session } from "./session.js";
import { Subscription } from "./subscription.js";
import type {
  Ack,
  CallOptions,
  Events,
  HandleOptions,
  Handler,
  Limits,
  Message,
  Options,
  PublishOptions,
  Registration,
  RequestOptions,
  SubscribeOptions,
  WebSocketClass,
} from "./types.js";
import { checkVersion, decode, encode, isSystem, isUUID, type Decoded, type Format, type Payload } from "./wire.js";
import { refuse, Worker } from "./worker.js";

/** The longest timeout of a request that a broker takes by default. */
const maxTimeoutMs = 3_600_000;
/** How long after a request's time its answer, which is the broker's TIMEOUT, may come. */
const timeoutGrace = 500;

const addressRule = /^(wss?):\/\/(\[[^\]]+\]|[^/:?#\s]+)(:\d+)?([/?]\S*)?$/i;

/** Addresses with their ports. */
function parseAddresses(given: string | string[]): string[] {
  const list = (Array.isArray(given) ? given : given.split(",")).map((a) => a.trim());
  return list.map((address) => {
    const [, scheme, host, port, rest = "/"] = addressRule.exec(address) ?? [];
    if (!scheme) throw new TypeError(`${JSON.stringify(address)} is no address: ws://host:port or wss://host:port`);
    return `${scheme}://${host}${port ?? (scheme.toLowerCase() === "wss" ? ":8000" : ":3000")}${rest}`;
  });
}

function registrationOf(r: string | Registration): string {
  const { name, description, ...rest } = typeof r === "string" ? { name: r } : r;
  return JSON.stringify({ name, description: description || name, ...rest });
}

/**
 * Connects to a broker at `ws://host:port` or `wss://host:port` (3000 and 8000 when left out) and
 * waits for its welcome. Several addresses are those of one broker, or of others as good: the first
 * that answers is used, and after a loss the next ones are tried first.
 */
export async function connect(addresses: string | string[], options: Options = {}): Promise<Client> {
  const client = new Client(parseAddresses(addresses), options);
  await client.start(options.signal);
  return client;
}

/** A connection to a broker, renewed when it is lost. See {@link connect}. */
export class Client {
  readonly #session: Session;
  readonly #version: string;
  readonly #outboundBytes: number;
  readonly #log: (...words: unknown[]) => void;
  readonly #listeners = new Map<keyof Events, Set<(...args: any[]) => void>>();
  /** Publishes that wait for the next connection, and their bytes. */
  #waiting = 0;
  #logged = 0;

  /** @internal */
  constructor(addresses: string[], options: Options) {
    const { log = (...words) => console.warn(...words) } = options;
    const WebSocket = options.WebSocket ?? (globalThis as { WebSocket?: WebSocketClass }).WebSocket;
    if (!WebSocket) throw new TypeError("there is no WebSocket here: give the package ws as option WebSocket");
    this.#log = log ?? (() => {});
    this.#version = options.version ?? "1.0.0";
    checkVersion(this.#version);
    const { connectTimeoutMs = 10_000, keepAliveMs = 30_000, outboundBytes = 1 << 20 } = options;
    const { maxCalls = 65_536, reconnect = true, attempts = 0 } = options;
    const { backoffMinMs = 100, backoffMaxMs = 10_000, token, name } = options;
    this.#outboundBytes = outboundBytes;
    this.#session = new Session(
      {
        emit: (event, ...args) => this.#emit(event, ...args),
        deliver: ({ topic, version, id }, data) => {
          for (const s of this.#session.registry.route("publish", topic)) s.push({ topic, version, id, data });
        },
        serve: (link, header, payload) => {
          const worker = this.#session.registry.route("request", header.topic)[0]?.worker;
          if (worker) worker.accept({ link, header, payload });
          else refuse({ link, header }, "no_handler");
        },
      },
      addresses,
      {
        ...{ connectTimeoutMs, keepAliveMs, outboundBytes, maxCalls, reconnect, attempts },
        ...{ backoffMinMs: Math.max(backoffMinMs, 1), backoffMaxMs, token, WebSocket },
      },
    );
    if (name !== undefined) this.#session.registration = registrationOf(name);
  }

  /** @internal */
  start(signal: AbortSignal | undefined): Promise<void> {
    return this.#session.start(signal);
  }

  // ---- what is known

  /** Whether there is a connection at this moment. */
  get connected(): boolean {
    return this.#session.link !== undefined;
  }

  /** Why the client is finished: `CLOSED`, or how the last connection was lost; undefined: it is not. */
  get error(): MBError | undefined {
    return this.#session.finished;
  }

  /** The broker's ID of this connection; it changes with every reconnect. */
  get serviceId(): string | undefined {
    return this.#session.last.welcome.serviceId;
  }

  /** The ID of the broker's node. */
  get nodeId(): string | undefined {
    return this.#session.last.welcome.nodeId;
  }

  get serverVersion(): string | undefined {
    return this.#session.last.welcome.serverVersion;
  }

  get limits(): Limits {
    return this.#session.last.welcome.limits ?? {};
  }

  /** Who the client is to the broker; undefined: it asks nobody. */
  get identity(): string | undefined {
    return this.#session.last.identified?.identity;
  }

  /** When that ends unless it is renewed; undefined: never. */
  get expiresAt(): Date | undefined {
    const at = this.#session.last.identified?.expiresAt;
    return at ? new Date(at) : undefined;
  }

  /** Bytes that wait to be sent. */
  get bufferedBytes(): number {
    return (this.#session.link?.buffered ?? 0) + this.#waiting;
  }

  // ---- messages

  /**
   * Sends a message to every subscriber of the topic, and does not wait. It throws when it was not
   * sent: `DISCONNECTED`, or `BUFFER_FULL`, after which {@link flush} waits for room. Errors of the
   * broker, `NO_ROUTE_FOUND` above all, go to the event `error`.
   */
  publish(topic: string, data?: unknown, options: PublishOptions = {}): void {
    const session = this.#session;
    const payload = encode(data, options.as);
    if (!session.link && session.moving) return this.#publishLater(topic, payload);
    const link = session.current();
    link.check(topic, payload);
    link.checkRoom(topic);
    link.send(`publish:${topic}:${this.#version}`, payload);
  }

  /** The node went away a moment before the next one is there. */
  #publishLater(topic: string, payload: Payload): void {
    const session = this.#session;
    session.last.check(topic, payload);
    if (this.#waiting > this.#outboundBytes) throw new MBError("BUFFER_FULL", "too much waits to be sent", { topic });
    const cost = payload.length + topic.length;
    this.#waiting += cost;
    session.whenMoved(() => {
      this.#waiting -= cost;
      if (session.link) session.link.send(`publish:${topic}:${this.#version}`, payload);
      else this.#emit("error", new MBError("DISCONNECTED", "a publish was not sent", { topic }));
    });
  }

  /**
   * Sends a message and waits for the broker's acknowledgement. No subscriber at all is the error
   * `NO_ROUTE_FOUND`. After `DISCONNECTED`, `TIMEOUT` or an abort it may have been delivered or not.
   */
  async publishAck(topic: string, data?: unknown, options: PublishOptions & CallOptions = {}): Promise<Ack> {
    const { signal, timeoutMs } = options;
    const answer = await this.#call("publish", topic, encode(data, options.as), { signal, timeoutMs });
    const { subscribers = 0, dropped = 0 } = decode(answer) as Partial<Ack>;
    return { subscribers, dropped };
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
    const { as, signal, parentId } = options;
    if (parentId && !isUUID(parentId)) throw new MBError("MALFORMED_MESSAGE", `the parent ID ${parentId} is no UUID`);
    const way: CallWay = { signal, parent: parentId };
    if (options.timeoutMs !== undefined) {
      const longest = this.limits.timeoutMs || maxTimeoutMs;
      way.deadlineMs = Math.round(Math.min(Math.max(options.timeoutMs, 1), longest));
      way.timeoutMs = way.deadlineMs + timeoutGrace;
    }
    const answer = await this.#call("request", topic, encode(data, as), way);
    try {
      return decode(answer, as) as Decoded<F, T>;
    } catch (cause) {
      throw new MBError("MALFORMED_MESSAGE", `the answer is no JSON: ${(cause as Error).message}`, { topic, cause });
    }
  }

  /** A request to the broker itself, `system.…`. */
  async system(topic: string, data: unknown = {}, options?: CallOptions): Promise<any> {
    if (!isSystem(topic)) throw new MBError("INVALID_REQUEST", `${topic} is no system topic`, { topic });
    return decode(await this.#call("request", topic, encode(data), { ...options }));
  }

  async #call(action: string, topic: string, payload: Payload, way: CallWay): Promise<Payload> {
    if (way.signal?.aborted) throw reasonOf(way.signal);
    const link = this.#session.link ?? (await this.#session.usable({ signal: way.signal, timeoutMs: Session.gap }));
    link.check(topic, payload);
    return link.call(action, topic, isSystem(topic) ? "1.0.0" : this.#version, payload, way);
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
  async subscribe(
    pattern: string,
    callback?: ((message: Message) => unknown) | SubscribeOptions<Format>,
    options: SubscribeOptions<Format> = {},
  ): Promise<Subscription> {
    if (typeof callback !== "function") {
      options = callback ?? options;
      callback = undefined;
    }
    const { overflow, conflate } = options;
    const topic = pattern.toLowerCase();
    const wish = JSON.stringify({ action: "publish", topic, overflow, conflate });
    const s = new Subscription(this.#subscriptionOwner, "publish", topic, wish, callback, options);
    return this.#make(s, options);
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
    const topic = pattern.toLowerCase();
    const wish = JSON.stringify({ action: "request", topic, priority: options.priority });
    const s = new Subscription(this.#subscriptionOwner, "request", topic, wish, () => {}, {});
    s.worker = new Worker(handler as (request: any) => unknown, options);
    return this.#make(s, options);
  }

  async #make(s: Subscription, options: CallOptions): Promise<Subscription> {
    const session = this.#session;
    if (options.signal?.aborted) throw reasonOf(options.signal);
    if (session.draining) throw closed();
    session.registry.add(s);
    try {
      await bounded(this.#stand(s), options);
      if (s.error) throw s.error;
      return s;
    } catch (error) {
      s.end();
      this.#forget(s).catch(() => {}); // It may have reached the broker.
      throw error;
    }
  }

  /** Returns when the connection in use has it. */
  async #stand(s: Subscription): Promise<void> {
    for (;;) {
      const link = await this.#session.usable({ timeoutMs: Session.gap });
      try {
        await this.#session.sync(link, s.key);
        if (this.#session.link === link || s.standing) return;
      } catch (error) {
        if (!link.cause || !this.#session.link) throw error;
      }
    }
  }

  #forget(s: Subscription): Promise<void> {
    this.#session.registry.remove(s);
    return this.#session.settle(s.key);
  }

  readonly #subscriptionOwner = {
    forget: (s: Subscription, options: CallOptions | undefined) => bounded(this.#forget(s), options),
    tellGap: (gap: Events["dropped"][0]) => this.#emit("dropped", gap),
    tellError: (error: MBError) => this.#emit("error", error),
  };

  /** Gives the client a name and a description, now and on every connection that follows. */
  async register(registration: Registration, options?: CallOptions): Promise<void> {
    const session = this.#session;
    const link = await session.usable(options);
    const before = session.registration;
    session.registration = registrationOf(registration);
    const mine = session.registration;
    try {
      await bounded(session.sync(link, registrationKey), options);
    } catch (error) {
      if (session.registration === mine) session.registration = before;
      void session.settle(registrationKey).catch(() => {});
      throw error;
    }
  }

  // ---- the connection

  /** Settled when there is a connection: what failed with `DISCONNECTED` can be tried again. */
  whenConnected(options?: CallOptions): Promise<void> {
    return this.#session.connected(options);
  }

  /** Asks the broker for a sign of life. It has taken then all that was sent before. */
  async ping(options?: CallOptions): Promise<void> {
    await this.system("system.heartbeat", {}, options);
  }

  /** Settled when nothing waits to be sent. */
  async flush(options: CallOptions = {}): Promise<void> {
    const done = (async () => {
      let link = this.#session.current();
      for (let wait = 0; link.buffered > 0; wait = Math.min(wait + 1, 16)) {
        await link.pause(wait);
        options.signal?.throwIfAborted();
        if (link.cause) link = this.#session.current();
      }
    })();
    await bounded(done, options);
  }

  /**
   * Ends the client in order: unsubscribes everything, lets callbacks, loops and handlers finish
   * what has come, waits until the broker has taken all that was sent, and closes. When it is given
   * up it closes at once, and fails.
   */
  async drain(options?: CallOptions): Promise<void> {
    try {
      await bounded(this.#drain(), options);
    } finally {
      await this.close();
    }
  }

  async #drain(): Promise<void> {
    const session = this.#session;
    session.current();
    session.draining = true;
    await Promise.all(session.registry.keys().map((key) => session.settle(key)));
    await Promise.all(session.registry.all().map((s) => (s.worker ?? s).finish()));
    await this.ping();
  }

  /**
   * Ends the connection after what was sent before, for at most two seconds. Calls under way fail
   * with `CLOSED`; messages that wait for their callback are dropped.
   */
  async close(): Promise<void> {
    const session = this.#session;
    const links = [...session.others, ...(session.link ? [session.link] : [])];
    const first = !session.finished;
    session.finish(closed());
    for (const s of session.registry.all()) s.end();
    await Promise.all(links.map((link) => link.goodbye(closed())));
    if (first) this.#emit("close", session.finished!);
  }

  // ---- events

  /** Calls the function whenever it happens; what is returned ends that. */
  on<E extends keyof Events>(event: E, listener: (...args: Events[E]) => void): () => void {
    let all = this.#listeners.get(event);
    if (!all) this.#listeners.set(event, (all = new Set()));
    all.add(listener);
    return () => void all.delete(listener);
  }

  #emit<E extends keyof Events>(event: E, ...args: Events[E]): void {
    if (event === "close") for (const s of this.#session.registry.all()) s.end(this.#endOf(args[0] as MBError));
    const listeners = this.#listeners.get(event);
    if (!listeners?.size) return this.#tell(event, args[0]);
    for (const listener of [...listeners]) {
      try {
        listener(...args);
      } catch (error) {
        this.#log(`mb: a listener of ${event} failed:`, error);
      }
    }
  }

  #endOf(cause: MBError): MBError | undefined {
    return cause.code === "CLOSED" ? undefined : cause;
  }

  /** Says what nobody listens to and somebody should know, errors once a second. */
  #tell(event: keyof Events, about: any): void {
    const failed = (event === "reconnect" || event === "move") && about.failed.length > 0;
    if (event === "error") {
      if (about.code === "NO_ROUTE_FOUND" || Date.now() < this.#logged + 1000) return;
      this.#logged = Date.now();
    } else if (!failed && !/^(dropped|disconnect|revoked)$/.test(event)) {
      return;
    }
    this.#log(`mb: ${event}:`, event === "revoked" ? (about as Subscription).pattern : about);
  }
}

const closed = (): MBError => new MBError("CLOSED", "the client was closed");
