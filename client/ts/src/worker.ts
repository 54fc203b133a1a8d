import { errorPayload, MBError } from "./errors.js";
import type { Link } from "./link.js";
import type { HandleOptions, Request } from "./types.js";
import { checkLength, decode, encode, type Format, type Header, type Payload } from "./wire.js";

interface Arrival {
  link: Link;
  header: Header;
  payload: Payload;
}

/** Refuses a request. */
export function refuse({ link, header }: Arrival, reason: string): void {
  const error = new MBError("SERVICE_UNAVAILABLE", "the service is busy, or gone", { details: { reason } });
  respond(link, header, errorPayload(error));
}

const respond = (link: Link, { topic, version, id }: Header, answer: Payload): void =>
  link.send(`response:${topic}:${version}:${id}`, answer);

/** Works on the requests of one `handle`. */
export class Worker {
  readonly priority: number;
  readonly #f: (request: Request) => unknown;
  readonly #options: HandleOptions<Format>;
  #running = 0;
  #waiting: Arrival[] = [];
  #idle: (() => void)[] = [];

  constructor(f: (request: Request) => unknown, options: HandleOptions<Format>) {
    this.#f = f;
    this.#options = options;
    this.priority = options.priority ?? 0;
  }

  /** Takes a request that has come. */
  accept(arrival: Arrival): void {
    const { concurrency = 64, backlog = 4096 } = this.#options;
    const starts = this.#running < concurrency;
    if (!starts && this.#waiting.length >= backlog) return refuse(arrival, "handler_busy");
    arrival.link.serving++;
    if (starts) void this.#work(arrival);
    else this.#waiting.push(arrival);
  }

  /** Settled when there is nothing to work on. */
  finish(): Promise<void> {
    return new Promise((resolve) => (this.#running ? this.#idle.push(resolve) : resolve()));
  }

  /** Works until nothing waits. */
  async #work(first: Arrival): Promise<void> {
    this.#running++;
    for (let a: Arrival | undefined = first; a; a = this.#waiting.shift()) {
      if (!a.link.cause) await this.#answer(a); // Else nobody can be answered.
      a.link.serving--;
    }
    if (!--this.#running) for (const done of this.#idle.splice(0)) done();
  }

  async #answer({ link, header, payload }: Arrival): Promise<void> {
    const { as } = this.#options;
    const { topic, version, id, parentId } = header;
    let answer: Payload;
    try {
      const data = decode(payload, as, topic);
      answer = encode(await this.#f({ topic, version, id, parentId, data, signal: link.signal }), as);
      checkLength(answer, link.welcome.limits?.payloadBytes, topic);
    } catch (error) {
      answer = errorPayload(error);
    }
    await link.room(false); // A slow connection holds its requests up.
    respond(link, header, answer);
  }
}
