import { errorPayload, MBError } from "./errors.js";
import type { Link } from "./link.js";
import type { HandleOptions, Request } from "./types.js";
import { byteLength, decode, encode, type Format, type Header, type Payload } from "./wire.js";

interface Arrival {
  link: Link;
  header: Header;
  payload: Payload;
}

/** Refuses a request. */
export function refuse({ link, header }: Omit<Arrival, "payload">, reason: string): void {
  const message = reason === "no_handler" ? `no handler for ${header.topic} any more` : "the service is busy";
  const error = new MBError("SERVICE_UNAVAILABLE", message, { details: { reason } });
  respond(link, header, errorPayload(error));
}

const respond = (link: Link, { topic, version, id }: Header, answer: Payload): void =>
  link.send(`response:${topic}:${version}:${id}`, answer);

/** Works on the requests of one `handle`. */
export class Worker {
  readonly priority: number;
  readonly #f: (request: Request) => unknown;
  readonly #as: Format;
  readonly #concurrency: number;
  readonly #backlog: number;
  #running = 0;
  #waiting: Arrival[] = [];
  #idle: (() => void)[] = [];

  constructor(f: (request: Request) => unknown, options: HandleOptions<Format>) {
    this.#f = f;
    this.priority = options.priority ?? 0;
    this.#as = options.as ?? "json";
    this.#concurrency = Math.max(options.concurrency ?? 64, 1);
    this.#backlog = Math.max(options.backlog ?? 4096, 0);
  }

  /** Takes a request that has come. */
  accept(arrival: Arrival): void {
    if (this.#running < this.#concurrency) {
      arrival.link.serve(1);
      this.#running++;
      void this.#work(arrival);
    } else if (this.#waiting.length < this.#backlog) {
      arrival.link.serve(1);
      this.#waiting.push(arrival);
    } else {
      refuse(arrival, "handler_busy");
    }
  }

  /** Settled when there is nothing to work on. */
  finish(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#running === 0) resolve();
      else this.#idle.push(resolve);
    });
  }

  /** Works until nothing waits. */
  async #work(first: Arrival): Promise<void> {
    for (let a: Arrival | undefined = first; a; a = this.#waiting.shift()) {
      if (!a.link.cause) await this.#answer(a); // Else nobody can be answered.
      a.link.serve(-1);
    }
    this.#running--;
    if (this.#running === 0) for (const done of this.#idle.splice(0)) done();
  }

  async #answer({ link, header, payload }: Arrival): Promise<void> {
    let answer: Payload;
    try {
      let data;
      try {
        data = decode(payload, this.#as);
      } catch (cause) {
        throw new MBError("MALFORMED_MESSAGE", `the request is no JSON: ${(cause as Error).message}`);
      }
      const { topic, version, id, parent: parentId } = header;
      const request: Request = {
        ...{ topic, version, id, parentId, data },
        get signal() {
          return link.signal;
        },
      };
      answer = encode(await this.#f(request), this.#as);
      const limit = link.welcome.limits?.payloadBytes ?? Infinity;
      const length = byteLength(answer, limit);
      if (length > limit) {
        const message = `the answer has ${length} bytes, the broker's limit is ${limit}`;
        throw new MBError("INTERNAL_ERROR", message);
      }
    } catch (error) {
      answer = errorPayload(error);
    }
    // A slow connection gets no more than it takes: the broker waits with the next request.
    for (let wait = 1; link.full && (await link.pause(wait)); wait = Math.min(wait * 2, 50));
    respond(link, header, answer);
  }
}
