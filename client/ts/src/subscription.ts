import { MBError, textOf } from "./errors.js";
import type { CallOptions, Events, Gap, Message } from "./types.js";
import { decode, type Format, type Header, type Payload } from "./wire.js";
import type { Worker } from "./worker.js";

/** What a subscription needs of its client. */
export interface SubscriptionOwner {
  /** Ends it at the broker. */
  _forget(s: Subscription, options: CallOptions | undefined): Promise<void>;
  _emit<E extends "error" | "dropped">(event: E, ...args: Events[E]): void;
}

/** Charged for each waiting message beside its bytes. */
const itemCost = 128;

type Raw = [header: Header, payload: Payload];
type Taker = { resolve(result: IteratorResult<Message>): void; reject(error: unknown): void };

/**
 * One `subscribe` or `handle`. A subscription without a callback is a stream: `for await` takes its
 * messages, and leaving the loop ends it. While its callback runs (until the promise that it returns
 * is settled), or the loop is elsewhere, messages wait here, up to `pendingBytes`.
 */
export class Subscription<T = any> implements AsyncIterable<Message<T>> {
  /** In lower case. */
  readonly pattern: string;
  /** Whether it has ended: no callback starts any more. */
  closed = false;
  /** Why it has: `FORBIDDEN` when the broker has ended it; undefined: it stands, or was ended here. */
  error: MBError | undefined;
  /** What it is at the broker: the action and the pattern. @internal */
  readonly _key: string;
  /** What makes it there. @internal */
  readonly _wish: string;
  /** The broker has confirmed it. @internal */
  _standing = false;
  /** Of a handler. @internal */
  _worker: Worker | undefined;

  private readonly _owner: SubscriptionOwner;
  private readonly _callback: ((m: Message) => unknown) | undefined;
  private readonly _options: { as?: Format; pendingBytes?: number; whenFull?: string };
  private _ending = false;
  private _running = false;
  private _queue: Raw[] = [];
  private _head = 0;
  private _bytes = 0;
  private _gap: Gap | undefined;
  private _takers: Taker[] = [];

  /** @internal */
  constructor(
    owner: SubscriptionOwner,
    wish: { action: string; topic: string },
    callback: ((m: Message) => unknown) | undefined,
    options: { as?: Format; pendingBytes?: number; whenFull?: string },
  ) {
    this._owner = owner;
    this.pattern = wish.topic;
    this._key = `${wish.action} ${wish.topic}`;
    this._wish = JSON.stringify(wish);
    this._callback = callback;
    this._options = options;
  }

  /**
   * Ends the subscription: no callback starts any more. It returns when the broker has confirmed
   * that; what the broker refuses for now is asked again. When there is no connection there is
   * nothing to wait for.
   */
  async unsubscribe(options?: CallOptions): Promise<void> {
    if (this.closed) return;
    this._end();
    await this._owner._forget(this, options);
  }

  /** Takes the messages one by one. Leaving the loop unsubscribes. */
  [Symbol.asyncIterator](): AsyncIterator<Message<T>> {
    if (this._callback) throw new TypeError("this subscription has a callback");
    return {
      next: () =>
        new Promise((resolve, reject) => {
          this._takers.push({ resolve, reject });
          this._run();
        }),
      return: async () => {
        await this.unsubscribe();
        return { done: true, value: undefined };
      },
    };
  }

  /** Ends it here, with what waits. @internal */
  _end(error?: MBError): void {
    if (this.closed) return;
    this.closed = true;
    this.error = error;
    this._queue = [];
    this._head = this._bytes = 0;
    this._run();
  }

  /** Whether something waits, or runs. Asked at the end: when nothing does, streams end. @internal */
  get _busy(): boolean {
    this._ending = true;
    this._run();
    return this._running || this._bytes > 0;
  }

  /** A message has come. @internal */
  _push(...m: Raw): void {
    if (this.closed) return;
    const { pendingBytes = 8 << 20, whenFull } = this._options;
    const cost = m[1].length + itemCost;
    // One that is larger than the limit is taken when nothing waits.
    while (this._bytes && this._bytes + cost > pendingBytes) {
      const until = new Date().toISOString();
      this._gap ??= { subscription: this, count: 0, since: until, until };
      this._gap.count++;
      this._gap.until = until;
      if (whenFull !== "oldest") return;
      this._take();
    }
    this._bytes += cost;
    this._queue.push(m);
    this._run();
  }

  /** Something waits. */
  private _take(): Raw {
    const m = this._queue[this._head++]!;
    this._bytes -= m[1].length + itemCost;
    // What is taken goes when it is half of all.
    if (this._head * 2 > this._queue.length) {
      this._queue.splice(0, this._head);
      this._head = 0;
    }
    return m;
  }

  /** Hands over what waits to who is ready for it, and lets those go who wait for the end. */
  private _run(): void {
    while (this._bytes && (this._callback ? !this._running : this._takers.length)) {
      const [header, payload] = this._take();
      const gap = this._gap;
      this._gap = undefined;
      if (gap) this._owner._emit("dropped", gap);
      try {
        const m = { ...header, data: decode(payload, this._options.as, header.topic) };
        if (this._callback) this._call(m);
        else this._takers.shift()!.resolve({ done: false, value: m });
      } catch (error) {
        this._owner._emit("error", error as MBError);
      }
    }
    if (!this._bytes && (this.closed || this._ending)) {
      for (const { resolve, reject } of this._takers.splice(0)) {
        if (this.error) reject(this.error);
        else resolve({ done: true, value: undefined });
      }
    }
  }

  private _call(m: Message): void {
    const failed = (cause: unknown) => {
      const message = `the callback of ${this.pattern} failed: ${textOf(cause)}`;
      this._owner._emit("error", new MBError("CALLBACK_ERROR", message, { topic: m.topic, cause }));
    };
    try {
      const pending = this._callback!(m) as PromiseLike<unknown> | undefined;
      if (!pending?.then) return;
      this._running = true;
      pending.then(undefined, failed).then(() => {
        this._running = false;
        this._run();
      });
    } catch (cause) {
      failed(cause);
    }
  }
}
