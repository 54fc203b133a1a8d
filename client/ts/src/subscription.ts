import { MBError, textOf } from "./errors.js";
import type { CallOptions, Gap, Message } from "./types.js";
import { decode, type Format, type Payload } from "./wire.js";
import type { Worker } from "./worker.js";

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
  /** Whether it has ended: no callback starts any more. */
  closed = false;
  /** Why it has: `FORBIDDEN` when the broker has ended it; undefined: it stands, or was ended here. */
  error: MBError | undefined;
  /** What it is at the broker: the action and the pattern. @internal */
  readonly key: string;
  /** What makes it there. @internal */
  readonly wish: string;
  /** The broker has confirmed it. @internal */
  standing = false;
  /** Of a handler. @internal */
  worker: Worker | undefined;

  readonly #owner: SubscriptionOwner;
  readonly #callback: ((m: Message) => unknown) | undefined;
  readonly #as: Format | undefined;
  readonly #limit: number;
  readonly #oldest: boolean;
  #ending = false;
  #busy = false;
  #queue: Raw[] = [];
  #head = 0;
  #bytes = 0;
  #gap: Gap | undefined;
  #takers: Taker[] = [];
  #idle: (() => void)[] = [];

  /** @internal */
  constructor(
    owner: SubscriptionOwner,
    wish: { action: string; topic: string },
    callback: ((m: Message) => unknown) | undefined,
    options: { as?: Format; pendingBytes?: number; whenFull?: string },
  ) {
    this.#owner = owner;
    this.pattern = wish.topic;
    this.key = `${wish.action} ${wish.topic}`;
    this.wish = JSON.stringify(wish);
    this.#callback = callback;
    this.#as = options.as;
    this.#limit = options.pendingBytes ?? 8 << 20;
    this.#oldest = options.whenFull === "oldest";
  }

  /**
   * Ends the subscription: no callback starts any more. It returns when the broker has confirmed
   * that; what the broker refuses for now is asked again. When there is no connection there is
   * nothing to wait for.
   */
  async unsubscribe(options?: CallOptions): Promise<void> {
    if (this.closed) return;
    this.end();
    await this.#owner.forget(this, options);
  }

  /** Takes the messages one by one. Leaving the loop unsubscribes. */
  [Symbol.asyncIterator](): AsyncIterator<Message<T>> {
    if (this.#callback) throw new TypeError("this subscription has a callback");
    return {
      next: () =>
        new Promise((resolve, reject) => {
          this.#takers.push({ resolve, reject });
          this.#run();
        }),
      return: async () => {
        await this.unsubscribe();
        return { done: true, value: undefined };
      },
    };
  }

  /** Ends it here, with what waits. @internal */
  end(error?: MBError): void {
    if (this.closed) return;
    this.closed = true;
    this.error = error;
    this.#queue = [];
    this.#head = this.#bytes = 0;
    this.#run();
  }

  /** Settled when nothing waits any more. Streams end there. @internal */
  finish(): Promise<void> {
    this.#ending = true;
    return new Promise((resolve) => {
      this.#idle.push(resolve);
      this.#run();
    });
  }

  /** A message has come. @internal */
  push(m: Raw): void {
    if (this.closed) return;
    const cost = m.data.length + itemCost;
    // One that is larger than the limit is taken when nothing waits.
    while (this.#bytes && this.#bytes + cost > this.#limit) {
      const until = new Date();
      this.#gap ??= { subscription: this, count: 0, conflated: 0, since: until, until };
      this.#gap.count++;
      this.#gap.until = until;
      if (!this.#oldest) return;
      this.#take();
    }
    this.#bytes += cost;
    this.#queue.push(m);
    this.#run();
  }

  #take(): Raw | undefined {
    const m = this.#queue[this.#head++];
    if (m) this.#bytes -= m.data.length + itemCost;
    // What is taken goes when it is half of all.
    if (this.#head * 2 > this.#queue.length) {
      this.#queue.splice(0, this.#head);
      this.#head = 0;
    }
    return m;
  }

  /** Hands over what waits to who is ready for it, and lets those go who wait for the end. */
  #run(): void {
    while (this.#bytes && (this.#callback ? !this.#busy : this.#takers.length)) {
      const { data, ...rest } = this.#take()!;
      const gap = this.#gap;
      this.#gap = undefined;
      if (gap) this.#owner.tellGap(gap);
      try {
        const m = { ...rest, data: decode(data, this.#as, rest.topic) };
        if (this.#callback) this.#call(m);
        else this.#takers.shift()!.resolve({ done: false, value: m });
      } catch (error) {
        this.#owner.tellError(error as MBError);
      }
    }
    if (this.#bytes) return;
    if (this.closed || this.#ending) {
      for (const { resolve, reject } of this.#takers.splice(0)) {
        if (this.error) reject(this.error);
        else resolve({ done: true, value: undefined });
      }
    }
    if (!this.#busy) for (const done of this.#idle.splice(0)) done();
  }

  #call(m: Message): void {
    const failed = (cause: unknown) => {
      const message = `the callback of ${this.pattern} failed: ${textOf(cause)}`;
      this.#owner.tellError(new MBError("CALLBACK_ERROR", message, { topic: m.topic, cause }));
    };
    try {
      const pending = this.#callback!(m) as PromiseLike<unknown> | undefined;
      if (!pending?.then) return;
      this.#busy = true;
      pending.then(undefined, failed).then(() => {
        this.#busy = false;
        this.#run();
      });
    } catch (cause) {
      failed(cause);
    }
  }
}
