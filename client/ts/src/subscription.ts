import { MBError } from "./errors.js";
import type { CallOptions, Gap, Message } from "./types.js";
import type { Worker } from "./worker.js";
import { decode, type Format, type Payload } from "./wire.js";

/** What a subscription needs of its client. */
export interface SubscriptionOwner {
  /** Ends it at the broker. */
  forget(s: Subscription, options: CallOptions | undefined): Promise<void>;
  tellGap(gap: Gap): void;
  tellError(error: MBError): void;
}

/** Charged for each waiting message beside its bytes. */
const itemCost = 128;

type Raw = Message<Payload>;
type Taker = { resolve(result: IteratorResult<Message>): void; reject(error: unknown): void };

/**
 * One `subscribe` or `handle`. A subscription without a callback is a stream: `for await` takes its
 * messages, and leaving the loop ends it. While its callback runs (until the promise that it returns
 * is settled), or the loop is elsewhere, messages wait here, up to `pendingBytes`.
 */
export class Subscription<T = any> implements AsyncIterable<Message<T>> {
  /** In lower case. */
  readonly pattern: string;
  /** Why it has ended: `FORBIDDEN` when the broker has ended it; undefined: it stands, or was ended here. */
  error: MBError | undefined;
  /** @internal */ readonly action: "publish" | "request";
  /** What makes it at the broker. @internal */ readonly wish: string;
  /** The broker has confirmed it. @internal */ standing = false;
  /** Of a handler. @internal */ worker: Worker | undefined;

  readonly #owner: SubscriptionOwner;
  readonly #callback: ((m: Message) => unknown) | undefined;
  readonly #as: Format;
  readonly #limit: number;
  readonly #oldest: boolean;
  #closed = false;
  #ending = false;
  #busy = false;
  #queue: (Raw | Gap)[] = [];
  #head = 0;
  #bytes = 0;
  #gap: Gap | undefined;
  #takers: Taker[] = [];
  #idle: (() => void)[] = [];

  /** @internal */
  constructor(
    owner: SubscriptionOwner,
    action: "publish" | "request",
    pattern: string,
    wish: string,
    callback: ((m: Message) => unknown) | undefined,
    options: { as?: Format; pendingBytes?: number; whenFull?: string },
  ) {
    this.#owner = owner;
    this.action = action;
    this.pattern = pattern;
    this.wish = wish;
    this.#callback = callback;
    this.#as = options.as ?? "json";
    this.#limit = options.pendingBytes ?? 8 << 20;
    this.#oldest = options.whenFull === "oldest";
  }

  /** Whether it has ended: no callback starts any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /** @internal */
  get key(): string {
    return `${this.action} ${this.pattern}`;
  }

  /**
   * Ends the subscription: no callback starts any more. It returns when the broker has confirmed
   * that; what the broker refuses for now is asked again. When there is no connection there is
   * nothing to wait for.
   */
  async unsubscribe(options?: CallOptions): Promise<void> {
    if (this.#closed) return;
    this.end();
    await this.#owner.forget(this, options);
  }

  /** Takes the messages one by one. Leaving the loop unsubscribes. */
  [Symbol.asyncIterator](): AsyncIterator<Message<T>> {
    if (this.#callback) throw new TypeError("this subscription has a callback");
    return {
      next: () => new Promise((resolve, reject) => this.#next({ resolve, reject })),
      return: async () => {
        await this.unsubscribe();
        return { done: true, value: undefined };
      },
    };
  }

  /** Ends it here, with what waits. @internal */
  end(error?: MBError): void {
    if (this.#closed) return;
    this.#closed = true;
    this.error = error;
    this.#queue = [];
    this.#head = this.#bytes = 0;
    this.#gap = undefined;
    this.#settle();
  }

  /** Settled when nothing waits any more. Streams end there. @internal */
  finish(): Promise<void> {
    this.#ending = true;
    return new Promise((resolve) => {
      this.#idle.push(resolve);
      this.#settle();
    });
  }

  /** A message has come. @internal */
  push(m: Raw): void {
    if (this.#closed) return;
    if (this.#head === this.#queue.length && !this.#busy) {
      if (this.#callback) return this.#run(m);
      const taker = this.#takers[0];
      const read = taker && this.#read(m);
      if (taker && !read) return;
      if (taker && read) {
        this.#takers.shift();
        taker.resolve({ done: false, value: read });
        return;
      }
    }
    const cost = m.data.length + itemCost;
    // One that is larger than the limit is taken when nothing waits.
    while (this.#bytes > 0 && this.#bytes + cost > this.#limit) {
      if (!this.#oldest) return this.#lose();
      this.#take();
      this.#lose();
    }
    if (this.#gap && !this.#oldest) {
      this.#queue.push(this.#gap);
      this.#gap = undefined;
    }
    this.#bytes += cost;
    this.#queue.push(m);
  }

  #lose(): void {
    const until = new Date();
    this.#gap ??= { subscription: this, count: 0, conflated: 0, since: until, until };
    this.#gap.count++;
    this.#gap.until = until;
  }

  /** The next message that waits; gaps before it are told. */
  #take(): Raw | undefined {
    for (;;) {
      const item = this.#queue[this.#head];
      if (!item) {
        if (this.#head > 0) {
          this.#queue = [];
          this.#head = 0;
        }
        return undefined;
      }
      this.#queue[this.#head++] = undefined!;
      if (this.#head > 1024 && this.#head * 2 > this.#queue.length) {
        this.#queue.splice(0, this.#head);
        this.#head = 0;
      }
      if ("topic" in item) {
        this.#bytes -= item.data.length + itemCost;
        return item;
      }
      this.#owner.tellGap(item);
    }
  }

  /** Tells what was dropped before, or behind, what waits. */
  #tellGap(): void {
    if (!this.#gap || (!this.#oldest && this.#head < this.#queue.length)) return;
    const gap = this.#gap;
    this.#gap = undefined;
    this.#owner.tellGap(gap);
  }

  #read(m: Raw): Message | undefined {
    try {
      return { ...m, data: decode(m.data, this.#as) };
    } catch (cause) {
      const message = `a message is no JSON: ${(cause as Error).message}`;
      const about = { topic: m.topic, requestId: m.id, cause };
      this.#owner.tellError(new MBError("MALFORMED_MESSAGE", message, about));
      return undefined;
    }
  }

  /** Runs the callback. */
  #run(m: Raw): void {
    const read = this.#read(m);
    if (!read) return;
    try {
      const result = this.#callback!(read) as PromiseLike<unknown> | undefined;
      if (typeof result?.then !== "function") return;
      this.#busy = true;
      result.then(
        () => this.#resume(),
        (cause) => {
          this.#failed(cause, m);
          this.#resume();
        },
      );
    } catch (cause) {
      this.#failed(cause, m);
    }
  }

  #failed(cause: unknown, m: Raw): void {
    const message = `the callback of ${this.pattern} failed: ${cause instanceof Error ? cause.message : cause}`;
    this.#owner.tellError(new MBError("CALLBACK_ERROR", message, { topic: m.topic, cause }));
  }

  #resume(): void {
    this.#busy = false;
    while (!this.#busy) {
      this.#tellGap();
      const m = this.#take();
      if (!m) break;
      this.#run(m);
    }
    this.#settle();
  }

  #next(taker: Taker): void {
    for (;;) {
      this.#tellGap();
      const m = this.#take();
      if (!m) break;
      const read = this.#read(m);
      if (!read) continue;
      taker.resolve({ done: false, value: read });
      this.#tellGap();
      this.#settle();
      return;
    }
    this.#takers.push(taker);
    this.#settle();
  }

  /** Lets those go who wait for the end. */
  #settle(): void {
    const empty = this.#head === this.#queue.length;
    if (this.#closed || (this.#ending && empty)) {
      for (const taker of this.#takers.splice(0)) {
        if (this.error) taker.reject(this.error);
        else taker.resolve({ done: true, value: undefined });
      }
    }
    if (empty && !this.#busy) for (const done of this.#idle.splice(0)) done();
  }
}
