import { MBError, parseError, retryAfter, toldRetry, unsure } from "./errors.js";
import { Link, lost, reasonOf, timedOut, type LinkOwner } from "./link.js";
import { Overlap } from "./overlap.js";
import { Registry } from "./registry.js";
import type { CallOptions, Events, Options, Renewal, WebSocketClass } from "./types.js";
import { decode, type Header, type Payload } from "./wire.js";

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
/** How long IDs are remembered after the old connection's last message. */
const overlapLinger = 10_000;
/** Bounds of the wait after refused credentials: every attempt counts against the address. */
const refusalMin = 30_000;
const refusalMax = 300_000;
const maxLockout = 3_600_000;
/** How many wrong tokens one connection shows: the broker ends it at the third. */
const maxRefusals = 2;
/** What is held while nobody knows what stands. */
const unknown = "?";
const day = 86_400_000;

/** What is left to ask of the broker on a new connection. */
interface Renewing {
  left: string[];
  /** How many are asked at once; 0: all. */
  window: number;
  /** To wait before the next round. */
  after: number;
  failed: Renewal["failed"];
}

/** What a session tells. */
export interface SessionOwner {
  emit<E extends keyof Events>(event: E, ...args: Events[E]): void;
  deliver(header: Header, payload: Payload): void;
  serve(link: Link, header: Header, payload: Payload): void;
}

export type Settings = Required<
  Pick<
    Options,
    | "connectTimeoutMs"
    | "keepAliveMs"
    | "outboundBytes"
    | "maxCalls"
    | "reconnect"
    | "backoffMinMs"
    | "backoffMaxMs"
    | "attempts"
  >
> & { token: Options["token"]; WebSocket: WebSocketClass };

const jitter = (ms: number): number => Math.random() * ms;

/** Up to a quarter longer, so that not all come at once. */
const spread = (ms: number, least: number): number => ms + jitter(Math.max(ms / 4, least));

const asError = (error: unknown): MBError =>
  error instanceof MBError ? error : lost(String((error as Error)?.message ?? error), error);

/** Ends a wait with the signal or the time; what is waited for goes on. */
export async function bounded<T>(promise: Promise<T>, options: CallOptions = {}): Promise<T> {
  const { signal, timeoutMs } = options;
  if (!signal && timeoutMs === undefined) return promise;
  promise.catch(() => {}); // It may fail when nobody waits any more.
  let timer: ReturnType<typeof setTimeout> | undefined;
  let abort: (() => void) | undefined;
  try {
    return await new Promise<T>((resolve, reject) => {
      promise.then(resolve, reject);
      abort = () => reject(reasonOf(signal!));
      if (signal?.aborted) abort();
      signal?.addEventListener("abort", abort);
      if (timeoutMs !== undefined) timer = setTimeout(() => reject(timedOut()), timeoutMs);
    });
  } finally {
    clearTimeout(timer);
    if (abort) signal?.removeEventListener("abort", abort);
  }
}

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
  /** On which something is outstanding, and those that come. */
  readonly others = new Set<Link>();

  readonly #owner: SessionOwner;
  readonly #settings: Settings;
  readonly #linkOwner: LinkOwner;
  readonly #addresses: string[];
  /** Until when each wants to be left alone. */
  readonly #resting: number[];
  #next = 0;
  #poke: (() => void) | undefined;
  #overlap: Overlap | undefined;
  /** There will soon be another connection. */
  #moving = false;
  /** Who waits for that. */
  #gap: (() => void)[] = [];
  #adopted: (() => void)[] = [];

  constructor(owner: SessionOwner, addresses: string[], settings: Settings) {
    this.#owner = owner;
    this.#addresses = addresses;
    this.#resting = addresses.map(() => 0);
    this.#settings = settings;
    this.#linkOwner = {
      keepAliveMs: settings.keepAliveMs,
      outboundBytes: settings.outboundBytes,
      maxCalls: settings.maxCalls,
      came: (link, header, payload) => this.#came(link, header, payload),
      gone: (link) => {
        if (this.link === link) this.link = undefined;
        this.others.delete(link);
        this.#poke?.();
      },
    };
  }

  // ---- the connection in use

  /** The connection to use, or the error to fail with. */
  current(): Link {
    if (this.link) return this.link;
    throw this.finished ?? lost("there is no connection");
  }

  /** The same, after a wait for the one that takes its place. */
  async usable(options?: CallOptions): Promise<Link> {
    if (!this.link && this.moving) {
      await bounded(new Promise<void>((resolve) => this.#gap.push(resolve)), options);
    }
    return this.current();
  }

  /** Whether what finds no connection may wait for the next one. */
  get moving(): boolean {
    return this.#moving && !this.finished;
  }

  /** Settled with the next connection, or when there will be none. */
  whenMoved(then: () => void): void {
    this.#gap.push(then);
  }

  /** Settled when there is a connection. */
  async connected(options?: CallOptions): Promise<void> {
    if (this.link) return;
    if (this.finished) throw this.finished;
    await bounded(new Promise<void>((resolve) => this.#adopted.push(resolve)), options);
    if (this.finished) throw this.finished;
  }

  #adopt(link: Link): void {
    this.others.delete(link);
    if (link.cause) return; // It is gone already, which supervise finds.
    this.last = this.link = link;
    for (const done of this.#adopted.splice(0)) done();
    this.#endGap();
  }

  #endGap(): void {
    for (const done of this.#gap.splice(0)) done();
  }

  /** Connects for the first time. */
  async start(signal: AbortSignal | undefined): Promise<void> {
    const link = await this.#connect("", signal);
    try {
      if (this.registration !== undefined) {
        const timeoutMs = this.#settings.connectTimeoutMs;
        await bounded(this.insist(link, registrationKey), { signal, timeoutMs });
      }
    } catch (error) {
      link.fail(asError(error));
      throw error;
    }
    this.last = link;
    this.#adopt(link);
    void this.#supervise(link);
  }

  /** Refuses everything from now on. The first reason stays. */
  finish(reason: MBError): void {
    if (this.finished) return;
    this.finished = reason;
    const links = [...this.others, ...(this.link ? [this.link] : [])];
    this.link = undefined;
    for (const link of links) void link.goodbye(reason);
    this.#endGap();
    for (const done of this.#adopted.splice(0)) done();
    this.#poke?.();
  }

  /** Waits, unless something happens to the connections. */
  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#poke = undefined;
        resolve();
      };
      const timer = setTimeout(done, Math.min(ms, 2 ** 31 - 1));
      this.#poke = done;
    });
  }

  async #supervise(first: Link): Promise<void> {
    let link: Link | undefined = first;
    let drains = false;
    while (link && !this.finished) {
      if (link.cause) {
        const cause: MBError = drains ? lost(`the node went away: ${link.cause.message}`, link.cause) : link.cause;
        this.#owner.emit("disconnect", cause);
        link = await this.#redial(cause);
        drains = false;
      } else if (link.notice && !drains) {
        drains = true;
        const next = await this.#move(link, link.notice);
        if (next) {
          link = next;
          drains = false;
        }
      } else {
        await this.#sleep(day);
      }
    }
  }

  // ---- connecting

  /** Makes one connection. Each address is tried once, the one after the last that was used first. */
  async #connect(avoid: string, signal?: AbortSignal): Promise<Link> {
    const token = await this.#askToken(signal);
    const failed: MBError[] = [];
    for (const _ of this.#addresses) {
      const at = this.#next++ % this.#addresses.length;
      if (Date.now() < this.#resting[at]!) continue;
      try {
        return await this.#connectOne(this.#addresses[at]!, token, avoid, signal);
      } catch (cause) {
        if (signal?.aborted) throw reasonOf(signal);
        const error = asError(cause);
        failed.push(error);
        this.#resting[at] = Date.now() + (this.#addresses.length > 1 ? (retryAfter(error) ?? 0) : 0);
        if (this.finished) break;
      }
    }
    const [first, ...more] = failed;
    if (!first) throw lost("it is too early to ask the broker again");
    if (more.length === 0) throw first;
    const soonest = [...failed].sort((a, b) => (toldRetry(a) ?? 0) - (toldRetry(b) ?? 0))[0]!;
    const about = soonest.code === "DISCONNECTED" ? (failed.find((e) => e.code !== soonest.code) ?? soonest) : soonest;
    throw new MBError(about.code, failed.map((e) => e.message).join("; "), { details: soonest.details });
  }

  async #connectOne(url: string, token: string, avoid: string, signal?: AbortSignal): Promise<Link> {
    const { WebSocket, connectTimeoutMs } = this.#settings;
    if (this.finished) throw this.finished;
    const link = new Link(this.#linkOwner, WebSocket, url);
    this.others.add(link);
    const late = () => link.fail(lost(`no welcome from ${url} in ${connectTimeoutMs} ms`));
    const timer = setTimeout(late, connectTimeoutMs);
    const abort = () => link.fail(lost("given up", reasonOf(signal!)));
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
    try {
      await link.greeted;
      await this.#introduce(link, token);
      if (avoid && link.welcome.nodeId === avoid) throw lost("this is still the node that is going away");
      if (link.cause) throw link.cause;
      return link;
    } catch (error) {
      link.fail(asError(error));
      throw error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  async #redial(cause: MBError): Promise<Link | undefined> {
    const { reconnect, attempts } = this.#settings;
    let pause = this.#pauseBefore(0, cause);
    let refusals = 0;
    for (let n = 0; reconnect && (!attempts || n < attempts); n++) {
      const until = Date.now() + pause;
      while (!this.finished && Date.now() < until) await this.#sleep(until - Date.now());
      if (this.finished) return undefined;
      let link: Link | undefined;
      try {
        link = await this.#connect("");
        const fresh = link;
        const renewing = await this.#renew(fresh, () => this.#adopt(fresh));
        void this.#conclude(fresh, renewing, "reconnect");
        return link;
      } catch (error) {
        cause = asError(error);
        link?.fail(cause);
      }
      pause = this.#pauseBefore(n + 1, cause);
      if ((cause.code === "UNAUTHORIZED" || cause.code === "FORBIDDEN") && !this.finished) {
        this.#owner.emit("error", cause);
        if (cause.cause === undefined) pause = this.#refusalPause(refusals++, cause);
      }
    }
    this.finish(cause.code === "DISCONNECTED" ? cause : lost(cause.message, cause));
    this.#owner.emit("close", this.finished!);
    return undefined;
  }

  /** How long to wait before attempt n, 0 the first: as long as the broker asks for, else at random. */
  #pauseBefore(n: number, cause: MBError): number {
    const { backoffMinMs, backoffMaxMs } = this.#settings;
    const after = retryAfter(cause) ?? 0;
    if (after && toldRetry(cause)) return spread(after, backoffMinMs);
    return after + jitter(Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(n, 30)));
  }

  #refusalPause(n: number, cause: MBError): number {
    const told = toldRetry(cause);
    if (told) return spread(Math.min(told, maxLockout), this.#settings.backoffMinMs);
    const longest = Math.min(refusalMax, refusalMin * 2 ** Math.min(n, 20));
    return longest / 2 + jitter(longest / 2);
  }

  // ---- who the client is

  async #askToken(signal?: AbortSignal): Promise<string> {
    const { token, connectTimeoutMs } = this.#settings;
    if (typeof token !== "function") return (token ?? "").trim();
    try {
      const late = AbortSignal.timeout(connectTimeoutMs);
      const asked = Promise.resolve(token(signal ?? late));
      return ((await bounded(asked, { signal: late })) || "").trim();
    } catch (cause) {
      throw new MBError("UNAUTHORIZED", `no token: ${(cause as Error)?.message ?? cause}`, { cause });
    }
  }

  async #introduce(link: Link, token: string): Promise<void> {
    if (token) return this.#identify(link, token);
    const auth = link.welcome.auth;
    if (auth?.required && !auth.identity) {
      const details = { reason: "required" };
      throw new MBError("UNAUTHORIZED", "the broker wants to know who this is: option token", { details });
    }
  }

  /** Shows the token: to who has greeted as a broker does, and to nobody else. */
  async #identify(link: Link, token: string): Promise<void> {
    const answer = decode(await link.system("system.auth", JSON.stringify({ token }))) as any;
    if (answer?.identity) link.identified = answer;
  }

  /** Renews who this is, after a part of the time that is left: not all clients at once. */
  async #reidentify(link: Link, left: number): Promise<void> {
    const end = Date.now() + left;
    let wait = jitter(left / 4);
    while (await link.pause(wait)) {
      let after = 0;
      try {
        const token = await this.#askToken();
        if (token) await this.#identify(link, token);
        return;
      } catch (error) {
        left = end - Date.now();
        if (left <= 0 || link.cause) return;
        const refused = asError(error);
        this.#owner.emit("error", refused);
        const again = retryAfter(refused);
        if (again === undefined && refused.cause === undefined && ++link.refusals >= maxRefusals) return;
        after = again ?? 0;
      }
      wait = Math.max(after, left / 8 + jitter(left / 8), 50);
    }
  }

  // ---- what stands at the broker

  /** What the broker should hold for the key on the connection; undefined: nothing. */
  #wanted(link: Link, key: string): string | undefined {
    if (key === registrationKey) return this.registration;
    const ended = this.draining || (link.stage === "leaving" && (link.ended || key.startsWith("publish")));
    return ended ? undefined : this.registry.of(key).at(-1)?.wish;
  }

  #settled(link: Link, key: string): boolean {
    const wanted = this.#wanted(link, key);
    return wanted === link.held.get(key) || (key === registrationKey && wanted === undefined);
  }

  /** Makes hold at the broker what is wanted. For one key one after the other. */
  sync(link: Link, key: string): Promise<void> {
    const before = link.turns.get(key);
    const turn = before ? before.then(() => this.#syncOnce(link, key)) : this.#syncOnce(link, key);
    const quiet = turn.then(() => {}, () => {});
    link.turns.set(key, quiet);
    void quiet.then(() => link.turns.get(key) === quiet && link.turns.delete(key));
    return turn;
  }

  async #syncOnce(link: Link, key: string): Promise<void> {
    while (!this.#settled(link, key)) {
      const wanted = this.#wanted(link, key);
      const before = link.held.get(key);
      const [action, topic] = key.split(" ");
      link.held.set(key, unknown);
      link.doubted.delete(key);
      try {
        if (key === registrationKey) await link.system("system.service.register", wanted);
        else if (wanted !== undefined) await link.system("system.topic.subscribe", wanted);
        else await link.system("system.topic.unsubscribe", JSON.stringify({ action, topic }));
      } catch (error) {
        if (!unsure(error)) this.#hold(link, key, before);
        throw error;
      }
      // What was revoked meanwhile is asked for once more: nobody knows what was meant.
      this.#hold(link, key, link.doubted.delete(key) ? undefined : wanted);
      if (link.held.has(key)) for (const s of this.registry.of(key)) s.standing = true;
    }
  }

  #hold(link: Link, key: string, wish: string | undefined): void {
    if (wish === undefined) link.held.delete(key);
    else link.held.set(key, wish);
  }

  /** The same, again after a while when the broker asks for that. */
  async insist(link: Link, key: string): Promise<void> {
    for (;;) {
      try {
        return await this.sync(link, key);
      } catch (error) {
        const after = retryAfter(error);
        if (after === undefined || !(await link.pause(after))) throw error;
      }
    }
  }

  /** Makes hold on every connection what is wanted; of those that end nothing is needed. */
  async settle(key: string): Promise<void> {
    const links = [...this.others, ...(this.link ? [this.link] : [])].filter((l) => l.held.has(key));
    await Promise.all(
      links.map((link) =>
        this.insist(link, key).catch((error: unknown) => {
          if (!link.cause && !this.finished) throw error;
        }),
      ),
    );
  }

  /** Registers and subscribes again, then lets everybody use the connection. */
  async #renew(link: Link, use: () => void): Promise<Renewing> {
    const renewing: Renewing = { left: [], window: 0, after: 0, failed: [] };
    const done = new Set<string>();
    const keys = () =>
      [registrationKey, ...this.registry.keys()].filter((k) => !done.has(k) && !this.#settled(link, k));
    const timeout = setTimeout(
      () => link.fail(lost("the broker does not answer while it is told what holds")),
      this.#settings.connectTimeoutMs,
    );
    try {
      // What is wanted may change meanwhile.
      for (let more = keys(); more.length && !renewing.left.length; more = keys()) {
        for (const key of more) done.add(key);
        renewing.left = more;
        await this.#round(link, renewing);
      }
    } finally {
      clearTimeout(timeout);
    }
    for (const key of keys()) renewing.left.push(key);
    use();
    return renewing;
  }

  /** Asks for what is left, or as much of it as the window allows. */
  async #round(link: Link, r: Renewing): Promise<void> {
    const batch = r.left.slice(0, r.window || r.left.length);
    const refused = await Promise.all(
      batch.map((key) => this.sync(link, key).then(() => undefined, asError)),
    );
    if (link.cause) throw link.cause;
    const again: string[] = [];
    r.after = 0;
    for (const [i, error] of refused.entries()) {
      const key = batch[i]!;
      const after = retryAfter(error);
      if (after !== undefined) {
        again.push(key);
        r.after = Math.max(r.after, after);
      } else if (error) {
        r.failed.push({ subscription: this.registry.of(key).at(-1), error });
        this.#owner.emit("error", error);
      }
    }
    // As many as were taken this time, so that refusals do not use up the limit.
    if (again.length) r.window = Math.max(batch.length - again.length, 1);
    else r.window *= 2;
    r.left = [...again, ...r.left.slice(batch.length)];
  }

  /** Asks until nothing is left, and tells how it went. */
  async #conclude(link: Link, r: Renewing, event: "reconnect" | "move"): Promise<void> {
    try {
      while (r.left.length) {
        if (!(await link.pause(r.after)) || this.link !== link) return;
        r.left = r.left.filter((key) => !this.#settled(link, key));
        await this.#round(link, r);
      }
    } catch {
      return; // The next connection renews them all.
    }
    const { serviceId = "", nodeId = "" } = link.welcome;
    this.#owner.emit(event, { serviceId, nodeId, failed: r.failed });
  }

  // ---- going to another node (protocol §11)

  /** Returns a connection to another node, over which everybody goes by now; undefined: there is none. */
  async #move(old: Link, notice: { slot: number; deadline: number }): Promise<Link | undefined> {
    const left = notice.slot - Date.now();
    const lead = left - Math.min(left / 2, moveLead);
    this.#overlap ??= new Overlap(8 << 20);
    this.#overlap.begin();
    this.#moving = true;
    // A broker that drains whatever connects is not asked in a hurry.
    let wait = Math.max(lead, this.#settings.backoffMinMs - (Date.now() - old.born));
    let next: Link | undefined;
    for (let n = 1; !next && (await old.pause(wait)) && Date.now() < notice.deadline; n++) {
      let link: Link | undefined;
      try {
        link = await this.#connect(old.welcome.nodeId ?? "");
        await this.#cross(old, link, notice.deadline);
        next = link;
      } catch (error) {
        link?.fail(asError(error));
        wait = Math.min(this.#pauseBefore(n, asError(error)), notice.deadline - Date.now());
      }
    }
    this.#moving = false;
    this.#endGap();
    if (!next) {
      this.#release();
      this.#part();
    }
    return next;
  }

  /** Makes link the connection everybody uses instead of old. */
  async #cross(old: Link, link: Link, deadline: number): Promise<void> {
    link.stage = "joining";
    const renewing = await this.#renew(link, () => {
      link.cork(true);
      if (!old.cause) this.others.add(old);
      old.stage = "leaving";
      this.#adopt(link);
    });
    const publishes = this.registry.keys().filter((key) => key.startsWith("publish"));
    const asked = [...publishes.map((key) => this.sync(old, key)), old.system("system.heartbeat")];
    await bounded(Promise.allSettled(asked), { timeoutMs: movePatience }).catch(() => {});
    const whole = !old.cause || old.orderly || publishes.length === 0;
    link.cork(false);
    link.stage = "steady";
    this.#release();
    const timer: any = setTimeout(() => this.#part(), overlapLinger);
    timer.unref?.();
    if (!whole) this.#owner.emit("disconnect", old.cause!);
    void this.#conclude(link, renewing, whole ? "move" : "reconnect");
    void this.#leave(old, deadline);
  }

  /** Ends a connection when nothing is outstanding on it any more. */
  async #leave(link: Link, deadline: number): Promise<void> {
    const serves = () => this.registry.keys().some((key) => key.startsWith("request"));
    // The node knows when nobody needs the handlers any more, and closes it then.
    if (serves() && (await link.pause(deadline - Date.now()))) {
      link.ended = true;
      const rest = Promise.allSettled(this.registry.keys().map((key) => this.sync(link, key)));
      await bounded(rest, { timeoutMs: moveGrace }).catch(() => {});
    }
    await Promise.race([link.idle(), link.pause(Math.max(deadline - Date.now(), 0) + moveGrace)]);
    await link.goodbye(lost("the client has moved to another node"));
  }

  #release(): void {
    for (const [header, payload] of this.#overlap?.release() ?? []) {
      if (!this.#overlap!.twice(header.id)) this.#owner.deliver(header, payload);
    }
  }

  /** Forgets the IDs, when no other move needs them. */
  #part(): void {
    if (this.#overlap && --this.#overlap.moves === 0) this.#overlap = undefined;
  }

  // ---- what comes

  #came(link: Link, header: Header, payload: Payload): void {
    const { action, topic, id } = header;
    if (action === "request") return this.#owner.serve(link, header, payload);
    if (action === "publish") {
      if (this.#notice(link, topic.toLowerCase(), payload)) return;
      const overlap = this.#overlap;
      if (overlap) {
        if (link.stage === "joining" && overlap.holds([header, payload])) return;
        if (overlap.twice(id)) return;
      }
      return this.#owner.deliver(header, payload);
    }
    const error = parseError(decode(payload, "text") as string, topic, id);
    // A TIMEOUT nobody waits for is that of a call given up already.
    if (!error || error.code === "TIMEOUT") return;
    const last = /^(expired|revoked|required)$/.test(String(error.details.reason));
    if (error.code === "UNAUTHORIZED" && last) link.said = error;
    else this.#owner.emit("error", error);
  }

  /** Takes what the broker says to the client itself. */
  #notice(link: Link, topic: string, payload: Payload): boolean {
    const [system, name, more] = topic.split(".");
    if (system !== "system" || !name) return false;
    const about = name + (more ? `.${more}` : "");
    if (!/^(dropped|flow|drain|initialize|auth\.expiring|topic\.revoked)$/.test(about)) return false;
    let told: any;
    try {
      told = decode(payload) ?? {};
    } catch {
      return true;
    }
    const { count = 0, conflated = 0, reconnectAfterMs = 0, deadlineMs = 0, expiresInMs = 0 } = told;
    if (about === "dropped") {
      const [since, until] = [new Date(told.since), new Date(told.until)];
      this.#owner.emit("dropped", { subscription: undefined, count, conflated, since, until });
    } else if (about === "flow") {
      this.#owner.emit("flow", told);
    } else if (about === "drain" && !link.notice) {
      const at = (ms: number) => Date.now() + Math.min(Math.max(ms, 0), day);
      link.notice = { slot: at(reconnectAfterMs), deadline: at(Math.max(reconnectAfterMs, deadlineMs)) };
      this.#owner.emit("drain", { reconnectAfterMs, deadlineMs });
      this.#poke?.();
    } else if (about === "auth.expiring") {
      this.#owner.emit("expiring", { expiresAt: new Date(told.expiresAt), expiresInMs });
      const renewable = this.#settings.token !== undefined && link.refusals < maxRefusals;
      if (renewable) void this.#reidentify(link, Math.min(Math.max(expiresInMs, 1), day));
    } else if (about === "topic.revoked") {
      this.#revoked(link, String(told.action), String(told.topic));
    }
    return true;
  }

  #revoked(link: Link, action: string, topic: string): void {
    if (link.stage === "leaving" && this.link !== link) return; // What stands elsewhere is not meant.
    const key = `${action} ${topic.toLowerCase()}`;
    if (link.held.get(key) === unknown) link.doubted.add(key);
    else link.held.delete(key);
    const details = { action: action === "request" ? "respond" : "subscribe", topic };
    const error = new MBError("FORBIDDEN", "this is not permitted to you any more", { details, topic });
    for (const s of this.registry.of(key).filter((s) => s.standing)) {
      this.registry.remove(s);
      s.end(error);
      this.#owner.emit("revoked", s);
    }
  }

  /** The longest wait of what finds no connection while the client moves. */
  static readonly gap = moveGap;
}
