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
import { bounded } from "./wait.js";
import { decode, encode, isSystem, isUUID, isVersion, type Decoded, type Format, type Payload } from "./wire.js";
import { refuse, Worker } from "./worker.js";

/** The longest timeout of a request that a broker takes by default. */
const maxTimeoutMs = 3_600_000;
/** How long after a request's time its answer, which is the broker's TIMEOUT, may come. */
const timeoutGrace = 500;

/** Addresses with their ports. */
function parseAddresses(given: string | string[]): string[] {
  return String(given).split(",").map((address) => {
    const [, scheme, host, port, rest = "/"] = /^(wss?):\/\/(\[.+]|[^/:?#]+)(:\d+)?(\/.*)?$/.exec(address.trim()) ?? [];
    if (!scheme) throw malformed(`${address} is no address: ws://host:port or wss://host:port`);
    return `${scheme}://${host}${port ?? (scheme === "ws" ? ":3000" : ":8000")}${rest}`;
  });
}

function registrationOf(r: string | Registration): string {
  const { name, description = name, ...rest } = typeof r === "string" ? { name: r } : r;
  return JSON.stringify({ name, description, ...rest });
}

const closed = (): MBError => new MBError("CLOSED", "the client was closed");

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
  readonly #log: (...words: unknown[]) => void;
  readonly #listeners: { [E in keyof Events]?: Set<(...args: any[]) => void> } = {};
  /** Publishes that wait for the next connection. */
  #waiting = 0;
  #logged = 0;

  /** @internal */
  constructor(addresses: string[], options: Options) {
    const { WebSocket, name, version = "1.0.0", log = (...words) => console.warn(...words), ...rest } = options;
    const Socket = WebSocket ?? (globalThis as { WebSocket?: WebSocketClass }).WebSocket;
    if (!Socket) throw malformed("there is no WebSocket here: give the one of the package ws as option");
    if (!isVersion(version)) throw malformed(`version ${version} is not MAJOR.MINOR.PATCH`);
    this.#log = log ?? (() => {});
    this.#version = version;
    const owner = {
      emit: this.#emit.bind(this),
      deliver: ({ topic, version, id }: Omit<Message, "data">, data: Payload) => {
        for (const s of this.#session.registry.route("publish", topic)) s.push({ topic, version, id, data });
      },
      serve: (link: Link, header: any, payload: Payload) => {
        const worker = this.#session.registry.route("request", header.topic)[0]?.worker;
        if (worker) worker.accept({ link, header, payload });
        else refuse({ link, header, payload }, "no_handler");
      },
    };
    this.#session = new Session(owner, addresses, {
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
    if (name) this.#session.registration = registrationOf(name);
  }

  /** @internal */
  start(signal: AbortSignal | undefined): Promise<void> {
    return this.#session.start(signal);
  }

  /** Whether there is a connection at this moment. */
  get connected(): boolean {
    return !!this.#session.link;
  }

  /** Why the client is finished: `CLOSED`, or how the last connection was lost; undefined: it is not. */
  get error(): MBError | undefined {
    return this.#session.finished;
  }

  /** What the broker has told of the connection, or of the last there was. */
  get info(): Info {
    const { welcome, identified } = this.#session.last;
    const { serviceId, nodeId, serverVersion, limits = {} } = welcome;
    const expiresAt = identified?.expiresAt ? new Date(identified.expiresAt) : undefined;
    return { serviceId, nodeId, serverVersion, limits, identity: identified?.identity, expiresAt };
  }

  /** Bytes that wait to be sent. */
  get bufferedBytes(): number {
    return this.#session.link?.buffered ?? 0;
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
    const send = (link: Link) => {
      link.check(topic, payload);
      link.send(`publish:${topic}:${this.#version}`, payload);
    };
    if (session.link || !session.moving || this.#waiting > 1000) return send(session.current());
    // The node went away a moment before the next one is there.
    this.#waiting++;
    session
      .usable()
      .then(send)
      .catch((error) => this.#emit("error", error))
      .finally(() => this.#waiting--);
  }

  /**
   * Sends a message and waits for the broker's acknowledgement. No subscriber at all is the error
   * `NO_ROUTE_FOUND`. After `DISCONNECTED`, `TIMEOUT` or an abort it may have been delivered or not.
   */
  async publishAck(topic: string, data?: unknown, options: PublishOptions & CallOptions = {}): Promise<Ack> {
    const { signal, timeoutMs } = options;
    const answer = await this.#call("publish", topic, encode(data, options.as), { signal, timeoutMs });
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
    return decode(await this.#call("request", topic, encode(data, as), way), as, topic) as Decoded<F, T>;
  }

  /** A request to the broker itself: `system.…`. */
  async system(topic: string, data: object = {}, options: CallOptions = {}): Promise<any> {
    if (!isSystem(topic)) throw malformed(`${topic} is no system topic`, topic);
    return decode(await this.#call("request", topic, encode(data), options));
  }

  async #call(action: string, topic: string, payload: Payload, way: CallWay): Promise<Payload> {
    way.signal?.throwIfAborted();
    const link = this.#session.link ?? (await bounded(this.#session.usable(), way));
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
  async subscribe(pattern: string, ...rest: unknown[]): Promise<Subscription> {
    const callback = typeof rest[0] === "function" ? (rest.shift() as (message: Message) => unknown) : undefined;
    const options = (rest[0] ?? {}) as SubscribeOptions<Format>;
    const { overflow, conflate } = options;
    const wish = { action: "publish", topic: pattern.toLowerCase(), overflow, conflate };
    return this.#make(new Subscription(this.#subscriptionOwner, wish, callback, options), options);
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
    const s = new Subscription(this.#subscriptionOwner, wish, () => {}, {});
    s.worker = new Worker(handler as (request: any) => unknown, options);
    return this.#make(s, options);
  }

  async #make(s: Subscription, options: CallOptions): Promise<Subscription> {
    options.signal?.throwIfAborted();
    if (this.#session.draining) throw closed();
    this.#session.registry.add(s);
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
    const session = this.#session;
    for (let link: Link | undefined; link !== session.link || !link; ) {
      link = await session.usable();
      try {
        await session.sync(link, s.key);
      } catch (error) {
        if (link === session.link || !session.link) throw error;
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
    const before = session.registration;
    const mine = (session.registration = registrationOf(registration));
    try {
      await bounded(session.usable().then((link) => session.sync(link, registrationKey)), options);
    } catch (error) {
      if (session.registration === mine) session.registration = before;
      session.settle(registrationKey).catch(() => {});
      throw error;
    }
  }

  // ---- the connection

  /** Settled when there is a connection: what failed with `DISCONNECTED` can be tried again. */
  async whenConnected(options?: CallOptions): Promise<void> {
    const session = this.#session;
    const wait = async () => {
      while (!session.link && !session.finished) await session.wait(1e9);
      session.current();
    };
    await bounded(wait(), options);
  }

  /** Asks the broker for a sign of life. It has taken then all that was sent before. */
  async ping(options?: CallOptions): Promise<void> {
    await this.system("system.heartbeat", {}, options);
  }

  /** Settled when nothing waits to be sent; with `room`, when {@link publish} takes something again. */
  async flush(options: CallOptions & { room?: boolean } = {}): Promise<void> {
    const link = this.#session.current();
    await bounded(link.room(!options.room), options);
    if (link.cause) throw link.cause;
  }

  /**
   * Ends the client in order: unsubscribes everything, lets callbacks, loops and handlers finish
   * what has come, waits until the broker has taken all that was sent, and closes. When it is given
   * up it closes at once, and fails.
   */
  async drain(options?: CallOptions): Promise<void> {
    const session = this.#session;
    const drain = async () => {
      session.current();
      session.draining = true;
      await Promise.all(session.registry.keys().map((key) => session.settle(key)));
      await Promise.all(session.registry.all().map((s) => (s.worker ?? s).finish()));
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
    return this.#session.finish(closed());
  }

  // ---- events

  /** Calls the function whenever it happens; what is returned ends that. */
  on<E extends keyof Events>(event: E, listener: (...args: Events[E]) => void): () => void {
    const all: Set<(...args: any[]) => void> = (this.#listeners[event] ??= new Set());
    all.add(listener);
    return () => void all.delete(listener);
  }

  #emit(event: keyof Events, about: any): void {
    const listeners = this.#listeners[event];
    for (const listener of listeners ?? []) {
      try {
        listener(about);
      } catch (error) {
        this.#log(`mb: a listener of ${event} failed:`, error);
      }
    }
    if (!listeners?.size) this.#tell(event, about);
  }

  /** Says what nobody listens to and somebody should know, errors once a second. */
  #tell(event: keyof Events, about: any): void {
    if (event === "error") {
      if (about.code === "NO_ROUTE_FOUND" || Date.now() < this.#logged) return;
      this.#logged = Date.now() + 1000;
    }
    const worth = /^(error|dropped|disconnect)$/.test(event) || about.failed?.length;
    if (worth || event === "revoked") this.#log(`mb: ${event}:`, about.pattern ?? about);
  }
}
