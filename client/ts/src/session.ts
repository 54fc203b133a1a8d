import { lost, MBError, parseError, retryAfter, textOf, toldRetry } from "./errors.js";
import { Link, type LinkOwner } from "./link.js";
import { Registry } from "./registry.js";
import type { Events, Options, Renewal, WebSocketClass } from "./types.js";
import { bounded, later } from "./wait.js";
import { decode, textIn, type Header, type Payload } from "./wire.js";

// The connections of a client, one after the other, and what is renewed on each of them.

/** The key of the registration among those of subscriptions. */
export const registrationKey = "";

/** How long before its time a move begins, at most: half of what is left when that is less. */
const moveLead = 1000;
/** How long the new connection waits for the old node. After that the order may suffer. */
const movePatience = 500;
/** The longest that a call waits for the new connection, when the old one is gone. */
const moveGap = 2000;
/** How long after the node's deadline it may still speak. */
const moveGrace = 1000;
/** How long IDs are remembered after the old connection's last message, and how many of them. */
const overlapLinger = 10_000;
const overlapIds = 65_536;
/** How much of what the new connection brings is held back, in bytes. */
const overlapBytes = 8 << 20;
/** Bounds of the wait after refused credentials: every attempt counts against the address. */
const refusalMin = 30_000;
const refusalMax = 300_000;
const maxLockout = 3_600_000;
/** How many wrong tokens one connection shows: the broker ends it at the third. */
const maxRefusals = 2;
/** What is held while nobody knows what stands. */
const unknown = "?";
const day = 86_400_000;

/** What is being renewed on a new connection. */
interface Renewing {
  /** What the broker refused for good, by key. */
  failed: Map<string, Renewal["failed"][0]>;
  /** How many are asked at once; 0: all. */
  window: number;
  /** To wait before the next round. */
  after: number;
}

export type Settings = Required<
  Pick<Options, "connectTimeoutMs" | "keepAliveMs" | "outboundBytes" | "maxCalls" | "reconnect" | "attempts">
> &
  Required<Pick<Options, "backoffMinMs" | "backoffMaxMs">> & { token: Options["token"]; WebSocket: WebSocketClass };

/** What a session tells. */
export interface SessionOwner {
  emit<E extends keyof Events>(event: E, ...args: Events[E]): void;
  deliver(header: Header, payload: Payload): void;
  serve(link: Link, header: Header, payload: Payload): void;
}

const jitter = (ms: number): number => Math.random() * ms;

const within = (ms: number, least: number, most: number): number => Math.min(Math.max(ms, least), most);

const asError = (error: unknown): MBError => (error instanceof MBError ? error : lost(textOf(error), error));

export class Session {
  readonly registry = new Registry();
  /** What registers the client; undefined: it is not registered. */
  registration: string | undefined;
  /** Subscriptions end; nothing is made any more. */
  draining = false;
  /** Why the client is finished. */
  finished: MBError | undefined;
  /** Everything is sent over it; undefined: there is none. */
  link: Link | undefined;
  /** It, or the last there was. */
  last!: Link;
  /** There will soon be another connection. */
  moving = false;

  readonly #owner: SessionOwner;
  readonly #settings: Settings;
  readonly #linkOwner: LinkOwner;
  readonly #addresses: string[];
  /** Until when each wants to be left alone. */
  readonly #resting: number[] = [];
  #next = 0;
  /** All connections: the one in use, those that come, and those on which something is outstanding. */
  readonly #links = new Set<Link>();
  /** Who waits for a change. */
  #waiters: (() => void)[] = [];
  /** IDs of what was delivered while two connections deliver. */
  #seen: [recent: Set<string>, older: Set<string>] | undefined;
  #moves = 0;
  /** What a new connection has brought, until the old one has brought its last. */
  #early: [Header, Payload][] = [];
  #earlyBytes = 0;

  constructor(owner: SessionOwner, addresses: string[], settings: Settings) {
    this.#owner = owner;
    this.#addresses = addresses;
    this.#settings = settings;
    this.#linkOwner = {
      ...settings,
      came: (link, header, payload) => this.#came(link, header, payload),
      gone: (link) => {
        if (this.link === link) this.link = undefined;
        this.#links.delete(link);
        this.#changed();
      },
    };
  }

  // ---- the connection in use

  #changed(): void {
    for (const done of this.#waiters.splice(0)) done();
  }

  /** Settled when something has changed, or after a time. */
  wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = later(resolve, ms);
      this.#waiters.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /** Waits, and reports whether the connection is still of use. */
  async #pause(link: Link, ms: number): Promise<boolean> {
    for (const end = Date.now() + ms; !link.cause && !this.finished; ) {
      const left = end - Date.now();
      if (left <= 0) return true;
      await this.wait(left);
    }
    return false;
  }

  /** The connection to use, or the error to fail with. */
  current(): Link {
    if (this.link) return this.link;
    throw this.finished ?? lost("there is no connection");
  }

  /** The same, after a wait for the one that takes its place. */
  async usable(): Promise<Link> {
    const end = Date.now() + moveGap;
    while (!this.link && this.moving && Date.now() < end) await this.wait(end - Date.now());
    return this.current();
  }

  #adopt(link: Link): void {
    if (link.cause) throw link.cause;
    this.last = this.link = link;
    this.#changed();
  }

  /** Connects for the first time. */
  async start(signal: AbortSignal | undefined): Promise<void> {
    const link = await this.#connect("", signal);
    const renewing = await this.#renew(link);
    for (const { error } of renewing.failed.values()) {
      link.fail(error);
      throw error;
    }
    this.#adopt(link);
    void this.#conclude(link, renewing);
    void this.#supervise(link);
  }

  /** Refuses everything from now on. The first reason stays. */
  async finish(reason: MBError): Promise<void> {
    const first = !this.finished;
    this.finished ??= reason;
    const links = [...this.#links];
    this.link = undefined;
    for (const s of this.registry.all()) s.end(reason.code === "CLOSED" ? undefined : reason);
    this.#changed();
    await Promise.all(links.map((link) => link.goodbye(reason)));
    if (first) this.#owner.emit("close", reason);
  }

  async #supervise(first: Link): Promise<void> {
    let link: Link | undefined = first;
    let told: Link["notice"];
    while (link && !this.finished) {
      const { cause, notice }: Link = link;
      if (cause) {
        const why: MBError = notice ? lost(`the node went away: ${cause.message}`, cause) : cause;
        this.#owner.emit("disconnect", why);
        link = await this.#redial(cause);
      } else if (notice && notice !== told) {
        told = notice;
        link = (await this.#move(link, notice)) ?? link;
      } else {
        await this.wait(day);
      }
    }
  }

  // ---- connecting

  /** Makes one connection. Each address is tried once, the one after the last that was used first. */
  async #connect(avoid: string | undefined, signal?: AbortSignal): Promise<Link> {
    const token = await this.#askToken();
    let failed: MBError | undefined;
    const { length } = this.#addresses;
    for (let n = 0; n < length; n++) {
      const at = this.#next++ % length;
      if (Date.now() < (this.#resting[at] ?? 0)) continue;
      try {
        return await this.#connectOne(this.#addresses[at]!, token, avoid, signal);
      } catch (cause) {
        signal?.throwIfAborted();
        const error = asError(cause);
        // Who says more than that there is no connection is worth more.
        if (!failed || failed.code === "DISCONNECTED") failed = error;
        if (length > 1) this.#resting[at] = Date.now() + (retryAfter(error) ?? 0);
      }
    }
    throw failed ?? lost("it is too early to ask again");
  }

  async #connectOne(url: string, token: string, avoid: string | undefined, signal?: AbortSignal): Promise<Link> {
    const { WebSocket, connectTimeoutMs } = this.#settings;
    if (this.finished) throw this.finished;
    const link = new Link(this.#linkOwner, new WebSocket(url), url);
    this.#links.add(link);
    const introduced = link.greeted.then(() => this.#introduce(link, token));
    try {
      await bounded(introduced, { signal, timeoutMs: connectTimeoutMs });
      if (avoid && link.welcome.nodeId === avoid) throw lost("this is still the node that goes away");
      return link;
    } catch (error) {
      link.fail(asError(error));
      throw error;
    }
  }

  async #redial(cause: MBError): Promise<Link | undefined> {
    const { reconnect, attempts } = this.#settings;
    for (let n = 0; reconnect && (!attempts || n < attempts); n++) {
      const end = Date.now() + this.#pauseBefore(n, cause);
      while (!this.finished && Date.now() < end) await this.wait(end - Date.now());
      if (this.finished) return undefined;
      let link: Link | undefined;
      try {
        link = await this.#connect("");
        const renewing = await this.#renew(link);
        this.#adopt(link);
        void this.#conclude(link, renewing, "reconnect");
        return link;
      } catch (error) {
        cause = asError(error);
        link?.fail(cause);
        if (isRefusal(cause)) this.#owner.emit("error", cause);
      }
    }
    void this.finish(cause);
    return undefined;
  }

  /** How long to wait before attempt n, 0 the first: as long as the broker asks for, else at random. */
  #pauseBefore(n: number, cause: MBError): number {
    const { backoffMinMs, backoffMaxMs } = this.#settings;
    const refused = isRefusal(cause);
    const told = toldRetry(cause);
    n = Math.min(n, 30);
    if (told) return Math.min(told, refused ? maxLockout : 60_000) * (1 + jitter(0.25)) + jitter(backoffMinMs);
    if (refused) return Math.min(refusalMin * 2 ** n, refusalMax) * (0.5 + jitter(0.5));
    return (retryAfter(cause) ?? 0) + jitter(Math.min(backoffMinMs * 2 ** n, backoffMaxMs));
  }

  // ---- who the client is

  async #askToken(): Promise<string> {
    const { token = "", connectTimeoutMs } = this.#settings;
    if (typeof token === "string") return token;
    try {
      const signal = AbortSignal.timeout(connectTimeoutMs);
      return await bounded(Promise.resolve(token(signal)), { signal });
    } catch (cause) {
      throw new MBError("UNAUTHORIZED", `no token: ${textOf(cause)}`, { cause });
    }
  }

  /** Shows the token: to who has greeted as a broker does, and to nobody else. */
  async #introduce(link: Link, token: string): Promise<void> {
    if (token) {
      const answer = decode(await link.system("auth", JSON.stringify({ token: token.trim() }))) as any;
      if (answer.identity) link.identified = answer;
    } else if (link.identified?.required && !link.identified.identity) {
      throw new MBError("UNAUTHORIZED", "the broker wants to know who this is", { details: { reason: "required" } });
    }
  }

  /** Renews who this is, after a part of the time that is left: not all clients at once. */
  async #reintroduce(link: Link, left: number): Promise<void> {
    const end = Date.now() + left;
    let wait = jitter(left / 4);
    while (link.refusals < maxRefusals && (await this.#pause(link, wait))) {
      try {
        return await this.#introduce(link, await this.#askToken());
      } catch (error) {
        const refused = asError(error);
        left = end - Date.now();
        if (left <= 0 || link.cause) return;
        this.#owner.emit("error", refused);
        if (isRefusal(refused)) link.refusals++;
        wait = Math.max(retryAfter(refused) ?? 0, left / 8 + jitter(left / 8), 50);
      }
    }
  }

  // ---- what stands at the broker

  /** What the broker should hold for the key on the connection; undefined: nothing. */
  #wanted(link: Link, key: string): string | undefined {
    if (key === registrationKey) return this.registration ?? link.held.get(key);
    const ends = this.draining || link.stage === 3 || (link.stage === 2 && isPublish(key));
    return ends ? undefined : this.registry.of(key).at(-1)?.wish;
  }

  #stands(link: Link, key: string): boolean {
    return this.#wanted(link, key) === link.held.get(key);
  }

  /** Makes hold at the broker what is wanted. For one key one after the other. */
  sync(link: Link, key: string): Promise<void> {
    const turn = (link.turns.get(key) ?? Promise.resolve()).then(() => this.#syncOnce(link, key));
    const done = turn.catch(() => {});
    link.turns.set(key, done);
    void done.then(() => link.turns.get(key) === done && link.turns.delete(key));
    return turn;
  }

  async #syncOnce(link: Link, key: string): Promise<void> {
    const { held, doubted } = link;
    const hold = (wish: string | undefined) => (wish === undefined ? held.delete(key) : held.set(key, wish));
    while (!this.#stands(link, key)) {
      const wanted = this.#wanted(link, key);
      const before = held.get(key);
      const [action, topic] = key.split(" ");
      hold(unknown);
      doubted.delete(key);
      try {
        if (key === registrationKey) await link.system("service.register", wanted);
        else if (wanted) await link.system("topic.subscribe", wanted);
        else await link.system("topic.unsubscribe", JSON.stringify({ action, topic }));
      } catch (error) {
        if (!/^(TIMEOUT|INTERNAL_ERROR)$/.test(asError(error).code)) hold(before);
        throw error;
      }
      // What was revoked meanwhile is asked for once more: nobody knows what was meant.
      hold(doubted.delete(key) ? undefined : wanted);
      if (held.has(key)) for (const s of this.registry.of(key)) s.standing = true;
    }
  }

  /** Makes hold on every connection what is wanted, again after a while where the broker asks for that. */
  async settle(key: string): Promise<void> {
    const insist = async (link: Link) => {
      for (;;) {
        try {
          return await this.sync(link, key);
        } catch (error) {
          if (link.cause || this.finished) return; // Nothing is needed of it.
          const after = retryAfter(error);
          if (!after) throw error;
          await this.#pause(link, after);
        }
      }
    };
    await Promise.all([...this.#links].filter(({ held }) => held.has(key)).map(insist));
  }

  /** Registers and subscribes again, until all stands or the broker wants to be asked later. */
  async #renew(link: Link): Promise<Renewing> {
    const renewing: Renewing = { failed: new Map(), window: 0, after: 0 };
    const rounds = (async () => {
      while ((await this.#round(link, renewing)) && !renewing.after);
    })();
    try {
      await bounded(rounds, { timeoutMs: this.#settings.connectTimeoutMs });
    } catch (error) {
      link.fail(asError(error));
      throw error;
    }
    return renewing;
  }

  /** Asks for what is missing, or as much of it as the window allows; false: nothing is. */
  async #round(link: Link, r: Renewing): Promise<boolean> {
    const keys = [registrationKey, ...this.registry.keys()].filter((k) => !r.failed.has(k) && !this.#stands(link, k));
    if (!keys.length) return false;
    const batch = keys.slice(0, r.window || undefined);
    let again = 0;
    r.after = 0;
    const asked = batch.map(async (key) => {
      try {
        await this.sync(link, key);
      } catch (thrown) {
        if (link.cause) throw link.cause;
        const error = asError(thrown);
        const after = retryAfter(error);
        if (after) {
          again++;
          r.after = Math.max(r.after, after);
        } else {
          r.failed.set(key, { subscription: this.registry.of(key).at(-1), error });
        }
      }
    });
    await Promise.all(asked);
    // As many as were taken this time, so that refusals do not use up the limit.
    r.window = again ? Math.max(batch.length - again, 1) : r.window * 2;
    return true;
  }

  /** Asks until nothing is missing, and tells how it went. */
  async #conclude(link: Link, r: Renewing, event?: "reconnect" | "move"): Promise<void> {
    try {
      do {
        if (!(await this.#pause(link, r.after)) || this.link !== link) return;
      } while (await this.#round(link, r));
    } catch {
      return; // The next connection renews them all.
    }
    const { serviceId, nodeId } = link.welcome;
    if (event) this.#owner.emit(event, { serviceId, nodeId, failed: [...r.failed.values()] });
  }

  // ---- going to another node (protocol §11)

  /** Returns a connection to another node, over which everybody goes by now; undefined: there is none. */
  async #move(old: Link, { slot, deadline }: NonNullable<Link["notice"]>): Promise<Link | undefined> {
    const left = slot - Date.now();
    // A broker that drains whatever connects is not asked in a hurry.
    let wait = Math.max(left - Math.min(left / 2, moveLead), this.#settings.backoffMinMs - (Date.now() - old.born));
    this.#seen ??= [new Set(), new Set()];
    this.#moves++;
    this.moving = true;
    let link: Link | undefined;
    for (let n = 1; !link && (await this.#pause(old, wait)) && Date.now() < deadline; n++) {
      let next: Link | undefined;
      try {
        next = await this.#connect(old.welcome.nodeId);
        await this.#cross(old, next, deadline);
        link = next;
      } catch (error) {
        next?.fail(asError(error));
        wait = Math.min(this.#pauseBefore(n, asError(error)), deadline - Date.now());
      }
    }
    this.#release();
    this.moving = false;
    this.#changed();
    const timer: any = later(() => {
      if (!--this.#moves) this.#seen = undefined;
    }, overlapLinger);
    timer.unref?.();
    return link;
  }

  /** Makes link the connection everybody uses instead of old. */
  async #cross(old: Link, link: Link, deadline: number): Promise<void> {
    link.stage = 1;
    const renewing = await this.#renew(link);
    link.corked = [];
    old.stage = 2;
    this.#adopt(link);
    // All that was sent to the old node is handled, and all that it had for us is here.
    const keys = this.registry.keys().filter(isPublish);
    const asked = [...keys.map((key) => this.sync(old, key)), old.system("heartbeat")];
    await bounded(Promise.allSettled(asked), { timeoutMs: movePatience }).catch(() => {});
    link.uncork();
    link.stage = 0;
    this.#release();
    const whole = !old.cause || old.orderly || !keys.length;
    if (!whole) this.#owner.emit("disconnect", old.cause!);
    void this.#conclude(link, renewing, whole ? "move" : "reconnect");
    void this.#leave(old, deadline);
  }

  /** Ends a connection when nothing is outstanding on it any more. */
  async #leave(link: Link, deadline: number): Promise<void> {
    // The node knows when nobody needs the handlers any more, and closes it then.
    if (!this.registry.keys().every(isPublish)) await this.#pause(link, deadline - Date.now());
    link.stage = 3;
    void Promise.allSettled(this.registry.keys().map((key) => this.sync(link, key)));
    const end = Math.max(deadline, Date.now()) + moveGrace;
    while (link.busy && Date.now() < end && (await this.#pause(link, 20)));
    await link.goodbye(lost("the client has moved to another node"));
  }

  /** Delivers what was held back. */
  #release(): void {
    this.#earlyBytes = 0;
    for (const [header, payload] of this.#early.splice(0)) {
      if (!this.#twice(header.id)) this.#owner.deliver(header, payload);
    }
  }

  /** Whether the message has come before, and notes that it has. What has no ID cannot come twice. */
  #twice(id: string): boolean {
    if (!this.#seen || !id) return false;
    const [recent, older] = this.#seen;
    const twice = recent.has(id) || older.has(id);
    if (recent.size < overlapIds / 2) recent.add(id);
    else this.#seen = [new Set([id]), recent];
    return twice;
  }

  // ---- what comes

  #came(link: Link, header: Header, payload: Payload): void {
    const { action, topic, id } = header;
    if (action === "request") return this.#owner.serve(link, header, payload);
    if (action === "publish") {
      if (this.#notice(link, topic, payload)) return;
      if (link.stage === 1 && this.#earlyBytes < overlapBytes) {
        this.#earlyBytes += payload.length + 128;
        this.#early.push([header, payload]);
      } else if (!this.#twice(id)) {
        this.#owner.deliver(header, payload);
      }
      return;
    }
    const error = parseError(textIn(payload), topic, id);
    // A TIMEOUT nobody waits for is that of a call given up already.
    if (!error || error.code === "TIMEOUT") return;
    const last = /^(expired|revoked|required)$/.test(String(error.details.reason));
    if (error.code === "UNAUTHORIZED" && last) link.said = error;
    else this.#owner.emit("error", error);
  }

  /** Takes what the broker says to the client itself. */
  #notice(link: Link, topic: string, payload: Payload): boolean {
    const { emit } = this.#owner;
    const told = (): any => decode(payload) ?? {};
    switch (topic) {
      case "system.dropped": {
        const { count = 0, conflated = 0, since, until } = told();
        const gap = { count, conflated, since: new Date(since), until: new Date(until) };
        emit("dropped", { subscription: undefined, ...gap });
        return true;
      }
      case "system.flow":
        emit("flow", told());
        return true;
      case "system.drain": {
        const { reconnectAfterMs = 0, deadlineMs = 0 } = told();
        const at = (ms: number) => Date.now() + within(ms, 0, day);
        link.notice ??= { slot: at(reconnectAfterMs), deadline: at(Math.max(reconnectAfterMs, deadlineMs)) };
        emit("drain", { reconnectAfterMs, deadlineMs });
        this.#changed();
        return true;
      }
      case "system.auth.expiring": {
        const { expiresAt, expiresInMs = 0 } = told();
        emit("expiring", { expiresAt: new Date(expiresAt), expiresInMs });
        if (this.#settings.token) void this.#reintroduce(link, within(expiresInMs, 1, day));
        return true;
      }
      case "system.topic.revoked": {
        const { action, topic } = told();
        this.#revoked(link, action, topic);
        return true;
      }
    }
    return false;
  }

  #revoked(link: Link, action: string, topic: string): void {
    if (link.stage > 1) return; // What stands on the connection in use is not meant.
    const key = `${action} ${topic.toLowerCase()}`;
    if (link.held.get(key) === unknown) link.doubted.add(key);
    else link.held.delete(key);
    const details = { action: action === "request" ? "respond" : "subscribe", topic };
    const error = new MBError("FORBIDDEN", "this is not permitted any more", { details, topic });
    for (const s of this.registry.of(key)) {
      if (!s.standing) continue;
      this.registry.remove(s);
      s.end(error);
      this.#owner.emit("revoked", s);
    }
  }
}

const isPublish = (key: string): boolean => key.startsWith("publish");

/** Whether the broker refused who the client is. */
const isRefusal = ({ code, cause }: MBError): boolean => !cause && (code === "UNAUTHORIZED" || code === "FORBIDDEN");

