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
/** The same, and it was revoked meanwhile. */
const doubtful = "??";
const day = 86_400_000;

/** What is being renewed on a new connection. */
interface Renewing {
  /** What the broker refused for good, by key. */
  _failed: Map<string, Renewal["failed"][0]>;
  /** How many are asked at once; 0: all. */
  _window: number;
  /** To wait before the next round. */
  _after: number;
}

export type Settings = Required<
  Pick<Options, "connectTimeoutMs" | "keepAliveMs" | "outboundBytes" | "maxCalls" | "reconnect" | "attempts">
> &
  Required<Pick<Options, "backoffMinMs" | "backoffMaxMs">> & { token: Options["token"]; WebSocket: WebSocketClass };

/** What a session tells. */
export interface SessionOwner {
  _emit<E extends keyof Events>(event: E, ...args: Events[E]): void;
  _deliver(header: Header, payload: Payload): void;
  _serve(link: Link, header: Header, payload: Payload): void;
}

const jitter = (ms: number): number => Math.random() * ms;

const asError = (error: unknown): MBError => (error instanceof MBError ? error : lost(textOf(error), error));

export class Session implements LinkOwner {
  readonly _registry = new Registry();
  /** What registers the client; undefined: it is not registered. */
  _registration: string | undefined;
  /** Subscriptions end; nothing is made any more. */
  _draining = false;
  /** Why the client is finished. */
  _finished: MBError | undefined;
  /** Everything is sent over it; undefined: there is none. */
  _link: Link | undefined;
  /** It, or the last there was. */
  _last!: Link;
  /** How often it was an operator who had closed a connection that had not stood for long. */
  private _kicks = 0;
  /** There will soon be another connection. */
  _moving = false;

  private readonly _owner: SessionOwner;
  readonly _settings: Settings;
  private readonly _addresses: string[];
  /** Until when each wants to be left alone. */
  private readonly _resting: number[];
  private _next = 0;
  /** All connections: the one in use, those that come, and those on which something is outstanding. */
  private readonly _links = new Set<Link>();
  /** Who waits for a change. */
  private readonly _waiters = new Set<() => void>();
  /** IDs of what was delivered while two connections deliver. */
  private _seen: [recent: Set<string>, older: Set<string>] | undefined;
  private _moves = 0;
  /** What a new connection has brought, until the old one has brought its last. */
  private _early: [Header, Payload][] = [];
  private _earlyBytes = 0;

  constructor(owner: SessionOwner, addresses: string[], settings: Settings) {
    this._owner = owner;
    this._addresses = addresses;
    this._resting = addresses.map(() => 0);
    this._settings = settings;
  }

  // ---- the connection in use

  _gone(link: Link): void {
    if (this._link === link) this._link = undefined;
    this._links.delete(link);
    this._changed();
  }

  private _changed(): void {
    for (const done of [...this._waiters]) done();
  }

  /** Waits until the condition holds, or a time; reports whether it holds. It is asked when something has changed. */
  async _until(ms: number, holds: () => unknown): Promise<boolean> {
    for (const end = Date.now() + ms; !holds(); ) {
      const left = end - Date.now();
      if (left <= 0) return false;
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer);
          this._waiters.delete(done);
          resolve();
        };
        const timer = later(done, left);
        this._waiters.add(done);
      });
    }
    return true;
  }

  /** Waits, and reports whether the connection is still of use. */
  private async _pause(link: Link, ms: number): Promise<boolean> {
    return !(await this._until(ms, () => link._cause ?? this._finished));
  }

  /** The connection to use, or the error to fail with. */
  _current(): Link {
    if (this._link) return this._link;
    throw this._finished ?? lost("no connection");
  }

  /** The same, after a wait for the one that takes its place. */
  async _usable(): Promise<Link> {
    await this._until(moveGap, () => this._link ?? !this._moving);
    return this._current();
  }

  private _adopt(link: Link): void {
    if (link._cause) throw link._cause;
    this._last = this._link = link;
    this._changed();
  }

  /** Connects for the first time. */
  async _start(signal: AbortSignal | undefined): Promise<void> {
    const link = await this._connect("", signal);
    const renewing = await this._renew(link);
    for (const { error } of renewing._failed.values()) {
      link._fail(error);
      throw error;
    }
    this._adopt(link);
    void this._conclude(link, renewing);
    void this._supervise(link);
  }

  /** Refuses everything from now on. The first reason stays. */
  async _finish(reason: MBError): Promise<void> {
    const first = !this._finished;
    this._finished ??= reason;
    const links = [...this._links];
    this._link = undefined;
    for (const s of this._registry._all()) s._end(reason.code === "CLOSED" ? undefined : reason);
    this._changed();
    for (const link of links) link._goodbye(reason);
    await this._until(Infinity, () => !this._links.size);
    if (first) this._owner._emit("close", reason);
  }

  private async _supervise(link: Link | undefined): Promise<void> {
    let told: Link["_notice"];
    while (link && !this._finished) {
      const { _cause: cause, _notice: notice }: Link = link;
      if (cause) {
        const why: MBError = notice ? lost(`the node went away: ${cause.message}`, cause) : cause;
        this._owner._emit("disconnect", why);
        link = await this._redial(cause, link._born);
      } else if (notice && notice !== told) {
        told = notice;
        link = (await this._move(link, notice)) ?? link;
      } else {
        const now: Link = link;
        await this._until(day, () => now._cause ?? this._finished ?? (now._notice && now._notice !== told));
      }
    }
  }

  // ---- connecting

  /** Makes one connection. Each address is tried once, the one after the last that was used first. */
  private async _connect(avoid: string | undefined, signal?: AbortSignal): Promise<Link> {
    const { WebSocket, connectTimeoutMs: timeoutMs } = this._settings;
    const token = await this._askToken();
    let failed: MBError | undefined;
    for (const _ of this._addresses) {
      const at = this._next++ % this._addresses.length;
      if (this._finished) throw this._finished;
      if (Date.now() < this._resting[at]!) continue;
      let link: Link | undefined;
      try {
        const url = this._addresses[at]!;
        const made = (link = new Link(this, new WebSocket(url), url));
        this._links.add(made);
        const introduced = made._greeted.then(() => this._introduce(made, token));
        await bounded(introduced, { signal, timeoutMs });
        if (avoid && made._welcome.nodeId === avoid) throw lost("still the node that goes away");
        return made;
      } catch (thrown) {
        const error = asError(thrown);
        link?._fail(error);
        signal?.throwIfAborted();
        // Who says more than that there is no connection is worth more.
        if (!failed || failed.code === "DISCONNECTED") failed = error;
        if (this._addresses.length > 1) this._resting[at] = Date.now() + (retryAfter(error) ?? 0);
      }
    }
    throw failed ?? lost("too early to ask again");
  }

  private async _redial(cause: MBError, born: number): Promise<Link | undefined> {
    const { reconnect, attempts } = this._settings;
    // An operator who has closed the connection wants it to stay away, for longer each time.
    if (Date.now() - born > refusalMax) this._kicks = 0;
    const kicked = cause.details.reason === "kicked";
    let wait = kicked ? this._pauseBefore(this._kicks++, cause) : this._pauseBefore(0, lost(""));
    for (let n = 1; reconnect && (!attempts || n <= attempts); n++) {
      if (await this._until(wait, () => this._finished)) return undefined;
      let link: Link | undefined;
      try {
        link = await this._connect("");
        const renewing = await this._renew(link);
        this._adopt(link);
        void this._conclude(link, renewing, "reconnect");
        return link;
      } catch (error) {
        cause = asError(error);
        link?._fail(cause);
        wait = this._pauseBefore(n, cause);
        if (isRefusal(cause)) this._owner._emit("error", cause);
      }
    }
    void this._finish(cause);
    return undefined;
  }

  /** How long to wait before attempt n, 0 the first: as long as the broker asks for, else at random. */
  private _pauseBefore(n: number, cause: MBError): number {
    const { backoffMinMs, backoffMaxMs } = this._settings;
    const refused = isRefusal(cause);
    const told = toldRetry(cause);
    n = Math.min(n, 30);
    if (told) return Math.min(told, refused ? maxLockout : 60_000) * (1 + jitter(0.25)) + jitter(backoffMinMs);
    if (refused) return Math.min(refusalMin * 2 ** n, refusalMax) * (0.5 + jitter(0.5));
    return (retryAfter(cause) ?? 0) + jitter(Math.min(backoffMinMs * 2 ** n, backoffMaxMs));
  }

  // ---- who the client is

  private async _askToken(): Promise<string> {
    const { token = "", connectTimeoutMs } = this._settings;
    if (typeof token === "string") return token;
    try {
      const signal = AbortSignal.timeout(connectTimeoutMs);
      return await bounded(Promise.resolve(token(signal)), { signal });
    } catch (cause) {
      throw new MBError("UNAUTHORIZED", `no token: ${textOf(cause)}`, { cause });
    }
  }

  /** Shows the token: to who has greeted as a broker does, and to nobody else. */
  private async _introduce(link: Link, token: string): Promise<void> {
    if (token) {
      const answer = decode(await link._system("auth", JSON.stringify({ token: token.trim() }))) as any;
      if (answer.identity) link._identified = answer;
    } else if (link._identified?.required && !link._identified.identity) {
      throw new MBError("UNAUTHORIZED", "the broker wants a token", { details: { reason: "required" } });
    }
  }

  /** Renews who this is, after a part of the time that is left: not all clients at once. */
  private async _reintroduce(link: Link, left: number): Promise<void> {
    const end = Date.now() + left;
    let wait = jitter(left / 4);
    while (link._refusals < maxRefusals && (await this._pause(link, wait))) {
      try {
        return await this._introduce(link, await this._askToken());
      } catch (error) {
        const refused = asError(error);
        left = end - Date.now();
        if (left <= 0 || link._cause) return;
        this._owner._emit("error", refused);
        if (isRefusal(refused)) link._refusals++;
        wait = Math.max(retryAfter(refused) ?? 0, left / 8 + jitter(left / 8), 50);
      }
    }
  }

  // ---- what stands at the broker

  /** What the broker should hold for the key on the connection; undefined: nothing. */
  private _wanted(link: Link, key: string): string | undefined {
    if (key === registrationKey) return this._registration ?? link._held.get(key);
    const ends = this._draining || link._stage === 3 || (link._stage === 2 && isPublish(key));
    return ends ? undefined : this._registry._of(key).at(-1)?._wish;
  }

  private _stands(link: Link, key: string): boolean {
    return this._wanted(link, key) === link._held.get(key);
  }

  /** Makes hold at the broker what is wanted. For one key one after the other. */
  _sync(link: Link, key: string): Promise<void> {
    const turn = (link._turns.get(key) ?? Promise.resolve()).then(() => this._syncOnce(link, key));
    const done = turn.catch(() => {});
    link._turns.set(key, done);
    void done.then(() => link._turns.get(key) === done && link._turns.delete(key));
    return turn;
  }

  private async _syncOnce(link: Link, key: string): Promise<void> {
    const held = link._held;
    const hold = (wish: string | undefined) => (wish === undefined ? held.delete(key) : held.set(key, wish));
    while (!this._stands(link, key)) {
      const wanted = this._wanted(link, key);
      const before = held.get(key);
      const [action, topic] = key.split(" ");
      hold(unknown);
      try {
        if (key === registrationKey) await link._system("service.register", wanted);
        else if (wanted) await link._system("topic.subscribe", wanted);
        else await link._system("topic.unsubscribe", JSON.stringify({ action, topic }));
      } catch (error) {
        if (!/^(TIMEOUT|INTERNAL_ERROR)$/.test(asError(error).code)) hold(before);
        throw error;
      }
      // What was revoked meanwhile is asked for once more: nobody knows what was meant.
      hold(held.get(key) === doubtful ? undefined : wanted);
      if (held.has(key)) for (const s of this._registry._of(key)) s._standing = true;
    }
  }

  /** Makes hold on every connection what is wanted, again after a while where the broker asks for that. */
  async _settle(key: string): Promise<void> {
    const insist = async (link: Link) => {
      for (;;) {
        try {
          return await this._sync(link, key);
        } catch (error) {
          if (link._cause || this._finished) return; // Nothing is needed of it.
          const after = retryAfter(error);
          if (!after) throw error;
          await this._pause(link, after);
        }
      }
    };
    await Promise.all([...this._links].filter(({ _held: held }) => held.has(key)).map(insist));
  }

  /** Registers and subscribes again, until all stands or the broker wants to be asked later. */
  private async _renew(link: Link): Promise<Renewing> {
    const renewing: Renewing = { _failed: new Map(), _window: 0, _after: 0 };
    const rounds = (async () => {
      while ((await this._round(link, renewing)) && !renewing._after);
    })();
    try {
      await bounded(rounds, { timeoutMs: this._settings.connectTimeoutMs });
    } catch (error) {
      link._fail(asError(error));
      throw error;
    }
    return renewing;
  }

  /** Asks for what is missing, or as much of it as the window allows; false: nothing is. */
  private async _round(link: Link, r: Renewing): Promise<boolean> {
    const keys = [registrationKey, ...this._registry._keys()].filter((k) => !r._failed.has(k) && !this._stands(link, k));
    if (!keys.length) return false;
    const batch = keys.slice(0, r._window || undefined);
    let again = 0;
    r._after = 0;
    const asked = batch.map(async (key) => {
      try {
        await this._sync(link, key);
      } catch (thrown) {
        if (link._cause) throw link._cause;
        const error = asError(thrown);
        const after = retryAfter(error);
        if (after) {
          again++;
          r._after = Math.max(r._after, after);
        } else {
          r._failed.set(key, { subscription: this._registry._of(key).at(-1), error });
          this._owner._emit("error", error);
        }
      }
    });
    await Promise.all(asked);
    // As many as were taken this time, so that refusals do not use up the limit.
    r._window = again ? Math.max(batch.length - again, 1) : r._window * 2;
    return true;
  }

  /** Asks until nothing is missing, and tells how it went. */
  private async _conclude(link: Link, r: Renewing, event?: "reconnect" | "move"): Promise<void> {
    try {
      do {
        if (!(await this._pause(link, r._after)) || this._link !== link) return;
      } while (await this._round(link, r));
    } catch {
      return; // The next connection renews them all.
    }
    const { serviceId, nodeId } = link._welcome;
    if (event) this._owner._emit(event, { serviceId, nodeId, failed: [...r._failed.values()] });
  }

  // ---- going to another node (protocol §11)

  /** Returns a connection to another node, over which everybody goes by now; undefined: there is none. */
  private async _move(old: Link, { slot, deadline }: NonNullable<Link["_notice"]>): Promise<Link | undefined> {
    const left = slot - Date.now();
    // A broker that drains whatever connects is not asked in a hurry.
    let wait = Math.max(left - Math.min(left / 2, moveLead), this._settings.backoffMinMs - (Date.now() - old._born));
    this._seen ??= [new Set(), new Set()];
    this._moves++;
    this._moving = true;
    let link: Link | undefined;
    for (let n = 1; !link && (await this._pause(old, wait)) && Date.now() < deadline; n++) {
      let next: Link | undefined;
      try {
        next = await this._connect(old._welcome.nodeId);
        await this._cross(old, next, deadline);
        link = next;
      } catch (error) {
        next?._fail(asError(error));
        wait = Math.min(this._pauseBefore(n, asError(error)), deadline - Date.now());
      }
    }
    this._release();
    this._moving = false;
    this._changed();
    const timer: any = later(() => {
      if (!--this._moves) this._seen = undefined;
    }, overlapLinger);
    timer.unref?.();
    return link;
  }

  /** Makes link the connection everybody uses instead of old. */
  private async _cross(old: Link, link: Link, deadline: number): Promise<void> {
    link._stage = 1;
    const renewing = await this._renew(link);
    link._corked = [];
    old._stage = 2;
    this._adopt(link);
    // All that was sent to the old node is handled, and all that it had for us is here.
    const keys = this._registry._keys().filter(isPublish);
    const asked = [...keys.map((key) => this._sync(old, key)), old._system("heartbeat")];
    await bounded(Promise.allSettled(asked), { timeoutMs: movePatience }).catch(() => {});
    link._uncork();
    link._stage = 0;
    this._release();
    const whole = !old._cause || old._orderly || !keys.length;
    if (!whole) this._owner._emit("disconnect", old._cause!);
    void this._conclude(link, renewing, whole ? "move" : "reconnect");
    void this._leave(old, deadline);
  }

  /** Ends a connection when nothing is outstanding on it any more. */
  private async _leave(link: Link, deadline: number): Promise<void> {
    // The node knows when nobody needs the handlers any more, and closes it then.
    if (!this._registry._keys().every(isPublish)) await this._pause(link, deadline - Date.now());
    link._stage = 3;
    void Promise.allSettled(this._registry._keys().map((key) => this._sync(link, key)));
    const end = Math.max(deadline, Date.now()) + moveGrace;
    while (link._busy && Date.now() < end && (await this._pause(link, 20)));
    link._goodbye(lost("moved to another node"));
  }

  /** Delivers what was held back. */
  private _release(): void {
    this._earlyBytes = 0;
    for (const [header, payload] of this._early.splice(0)) {
      if (!this._twice(header.id)) this._owner._deliver(header, payload);
    }
  }

  /** Whether the message has come before, and notes that it has. What has no ID cannot come twice. */
  private _twice(id: string): boolean {
    if (!this._seen || !id) return false;
    const [recent, older] = this._seen;
    const twice = recent.has(id) || older.has(id);
    if (recent.size < overlapIds / 2) recent.add(id);
    else this._seen = [new Set([id]), recent];
    return twice;
  }

  // ---- what comes

  _came(link: Link, action: string, header: Header, payload: Payload): void {
    const { topic, id } = header;
    if (action === "request") return this._owner._serve(link, header, payload);
    if (action === "publish") {
      if (this._notice(link, topic, payload)) return;
      if (link._stage === 1 && this._earlyBytes < overlapBytes) {
        this._earlyBytes += payload.length + 128;
        this._early.push([header, payload]);
      } else if (!this._twice(id)) {
        this._owner._deliver(header, payload);
      }
      return;
    }
    const error = parseError(textIn(payload), topic, id);
    // A TIMEOUT nobody waits for is that of a call given up already.
    if (!error || error.code === "TIMEOUT") return;
    if (isRefusal(error) && /^(expired|revoked|required|kicked)$/.test(error.details.reason as string)) link._said = error;
    else this._owner._emit("error", error);
  }

  /** Takes what the broker says to the client itself. */
  private _notice(link: Link, topic: string, payload: Payload): boolean {
    const event = /^system\.(?:auth\.|topic\.)?(dropped|flow|drain|expiring|revoked)$/.exec(topic)?.[1];
    if (!event) return false;
    const told = decode(payload) as any;
    if (event === "revoked") this._revoked(link, told.action, told.topic);
    else this._owner._emit(event as "flow", told);
    if (event === "drain") {
      const at = (ms = 0) => Date.now() + ms;
      link._notice ??= { slot: at(told.reconnectAfterMs), deadline: at(told.deadlineMs) };
      this._changed();
    }
    if (event === "expiring" && this._settings.token) void this._reintroduce(link, told.expiresInMs ?? 0);
    return true;
  }

  private _revoked(link: Link, action: string, topic: string): void {
    if (link._stage > 1) return; // What stands on the connection in use is not meant.
    const key = `${action} ${topic.toLowerCase()}`;
    if (link._held.get(key) === unknown) link._held.set(key, doubtful);
    else link._held.delete(key);
    const details = { action: action === "request" ? "respond" : "subscribe", topic };
    const error = new MBError("FORBIDDEN", "not permitted any more", { details, topic });
    for (const s of this._registry._of(key)) {
      if (!s._standing) continue;
      this._registry._remove(s);
      s._end(error);
      this._owner._emit("revoked", s);
    }
  }
}

const isPublish = (key: string): boolean => key.startsWith("publish");

/** Whether the broker refused who the client is. */
const isRefusal = ({ code, cause }: MBError): boolean => !cause && (code === "UNAUTHORIZED" || code === "FORBIDDEN");

