import { errorPayload, MBError } from "./errors.js";
import type { Link } from "./link.js";
import type { HandleOptions, Request } from "./types.js";
import { checkLength, decode, encode, type Format, type Header, type Payload } from "./wire.js";

type Arrival = [link: Link, header: Header, payload: Payload];

/** Refuses a request. */
export function refuse(link: Link, header: Header, reason: string): void {
  const error = new MBError("SERVICE_UNAVAILABLE", "the service is busy, or gone", { details: { reason } });
  respond(link, header, errorPayload(error));
}

const respond = (link: Link, { topic, version, id }: Header, answer: Payload): void =>
  link._send(`response:${topic}:${version}:${id}`, answer);

/** Works on the requests of one `handle`. */
export class Worker {
  readonly _priority: number;
  private readonly _f: (request: Request) => unknown;
  private readonly _options: HandleOptions<Format>;
  private _running = 0;
  private _waiting: Arrival[] = [];

  constructor(f: (request: Request) => unknown, options: HandleOptions<Format>) {
    this._f = f;
    this._options = options;
    this._priority = options.priority ?? 0;
  }

  /** Takes a request that has come. */
  _accept(...arrival: Arrival): void {
    const [link, header] = arrival;
    const { concurrency = 64, backlog = 4096 } = this._options;
    const starts = this._running < concurrency;
    if (!starts && this._waiting.length >= backlog) return refuse(link, header, "handler_busy");
    link._serving++;
    if (starts) void this._work(arrival);
    else this._waiting.push(arrival);
  }

  /** Whether there is something to work on. */
  get _busy(): boolean {
    return this._running > 0;
  }

  /** Works until nothing waits. */
  private async _work(first: Arrival): Promise<void> {
    this._running++;
    for (let a: Arrival | undefined = first; a; a = this._waiting.shift()) {
      if (!a[0]._cause) await this._answer(a); // Else nobody can be answered.
      a[0]._serving--;
    }
    this._running--;
  }

  private async _answer([link, header, payload]: Arrival): Promise<void> {
    const { as } = this._options;
    let answer: Payload;
    try {
      const data = decode(payload, as, header.topic);
      answer = encode(await this._f({ ...header, data, signal: link._abort.signal }), as);
      checkLength(answer, link._welcome.limits?.payloadBytes, header.topic, "INTERNAL_ERROR");
    } catch (error) {
      answer = errorPayload(error);
    }
    if (link._full) await link._flush(); // A slow connection holds its requests up.
    respond(link, header, answer);
  }
}
