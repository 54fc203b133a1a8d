/**
 * What an {@link MBError} is about: the broker's codes, then the client's own.
 *
 * - `DISCONNECTED`: there is no connection, or it was lost before the answer came.
 * - `CLOSED`: the client was closed or drained.
 * - `BUFFER_FULL`: too much waits to be sent already; nothing was sent. `flush()` waits for room.
 * - `HANDLER_ERROR`: a handler, here or elsewhere, threw what is not an `MBError`.
 * - `CALLBACK_ERROR`: a subscription's callback threw.
 */
export type Code =
  | "MALFORMED_MESSAGE"
  | "INVALID_REQUEST"
  | "INVALID_REQUEST_ID"
  | "VERSION_NOT_SUPPORTED"
  | "UNAUTHORIZED"
  | "FORBIDDEN"
  | "TOPIC_NOT_SUPPORTED"
  | "NO_ROUTE_FOUND"
  | "SERVICE_UNAVAILABLE"
  | "TIMEOUT"
  | "RATE_LIMIT_EXCEEDED"
  | "INTERNAL_ERROR"
  | "DISCONNECTED"
  | "CLOSED"
  | "BUFFER_FULL"
  | "HANDLER_ERROR"
  | "CALLBACK_ERROR"
  // A handler may answer with codes of its own.
  | (string & {});

/** What else an {@link MBError} knows. */
export interface ErrorContext {
  /** As the broker or the handler sent them: `reason`, `retryAfterMs`, `action`, `limit` … */
  details?: Record<string, unknown> | undefined;
  /** Of the message that was answered. */
  topic?: string | undefined;
  requestId?: string | undefined;
  /** What caused it, when the client found the error itself. */
  cause?: unknown;
}

/**
 * An error answer of the broker or of a request's handler, or one that the client found itself.
 * `code` says which. A handler that throws one chooses what the requester gets.
 */
export class MBError extends Error {
  override readonly name = "MBError";
  readonly code: Code;
  /** Never undefined, so that `error.details.reason` can be asked for. */
  readonly details: Record<string, unknown>;
  readonly topic: string | undefined;
  readonly requestId: string | undefined;

  constructor(code: Code, message: string, context: ErrorContext = {}) {
    super(message ? `${code}: ${message}` : code, context.cause === undefined ? {} : context);
    this.code = code;
    this.details = context.details ?? {};
    this.topic = context.topic;
    this.requestId = context.requestId;
  }
}

/**
 * After how many milliseconds, at most a minute, the same may be asked again: the broker refused
 * it only for now (over a rate limit, busy, no answer in time). `undefined`: for other reasons.
 */
export function retryAfter(error: unknown): number | undefined {
  if (!(error instanceof MBError) || error.cause !== undefined) return undefined;
  const { code, details } = error;
  const told = toldRetry(error);
  if (told !== undefined) return Math.min(told, 60_000);
  const busy = code === "SERVICE_UNAVAILABLE" && details.reason !== "subscription_limit";
  return busy || code === "RATE_LIMIT_EXCEEDED" || code === "TIMEOUT" ? 1000 : undefined;
}

/** When the broker said that it wants to be asked again, in ms; undefined: it did not. */
export function toldRetry(error: unknown): number | undefined {
  const ms = error instanceof MBError ? error.details.retryAfterMs : undefined;
  return typeof ms === "number" ? Math.max(ms, 1) : undefined;
}

/** Whether the error leaves open what holds at the broker. */
export function unsure(error: unknown): boolean {
  return !(error instanceof MBError) || error.code === "TIMEOUT" || error.code === "INTERNAL_ERROR";
}

/** The error that an answer says (protocol §7), or undefined when it is something else. */
export function parseError(text: string, topic?: string, requestId?: string): MBError | undefined {
  if (!/^\s*\{\s*"error"/.test(text)) return undefined;
  try {
    const { error } = JSON.parse(text);
    if (typeof error.code !== "string" || !error.code) return undefined;
    const details = typeof error.details === "object" && error.details ? error.details : undefined;
    return new MBError(error.code, String(error.message ?? ""), { details, topic, requestId });
  } catch {
    return undefined;
  }
}

/** The answer to a request whose handler has thrown. */
export function errorPayload(error: unknown): string {
  const known = error instanceof MBError ? error : undefined;
  const code = known?.code ?? "HANDLER_ERROR";
  let message = error instanceof Error ? error.message : String(error);
  if (known && message.startsWith(code)) message = message.slice(code.length + 2);
  const timestamp = new Date().toISOString();
  const details = known && Object.keys(known.details).length ? known.details : undefined;
  return JSON.stringify({ error: { code, message, timestamp, details } });
}
