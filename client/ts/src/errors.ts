/**
 * What an {@link MBError} is about: the broker's codes, then the client's own.
 *
 * - `DISCONNECTED`: there is no connection, or it was lost before the answer came.
 * - `CLOSED`: the client was closed or drained.
 * - `BUFFER_FULL`: too much waits to be sent, or to be answered; nothing was sent.
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
  declare readonly code: Code;
  /** Never undefined, so that `error.details.reason` can be asked for. */
  declare readonly details: Record<string, unknown>;
  declare readonly topic: string | undefined;
  declare readonly requestId: string | undefined;

  constructor(code: Code, message: string, { details = {}, topic, requestId, cause }: ErrorContext = {}) {
    super(`${code}: ${message}`, cause === undefined ? {} : { cause });
    Object.assign(this, { name: "MBError", code, details, topic, requestId });
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
  if (told) return Math.min(told, 60_000);
  const busy = code === "SERVICE_UNAVAILABLE" && details.reason !== "subscription_limit";
  return busy || code === "RATE_LIMIT_EXCEEDED" || code === "TIMEOUT" ? 1000 : undefined;
}

/** When the broker said that it wants to be asked again, in ms; 0: it did not. */
export const toldRetry = ({ details }: MBError): number => Math.max(Number(details.retryAfterMs) || 0, 0);

/** There is no connection. */
export const lost = (message: string, cause?: unknown): MBError => new MBError("DISCONNECTED", message, { cause });

export const malformed = (message: string, topic?: string, cause?: unknown): MBError =>
  new MBError("MALFORMED_MESSAGE", message, { topic, cause });

/** What was thrown, in words. */
export const textOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));

/** The error that an answer says (protocol §7), or undefined when it is something else. */
export function parseError(text: string, topic?: string, requestId?: string): MBError | undefined {
  if (!/^\s*\{\s*"error"/.test(text)) return undefined;
  try {
    const { code, message, details } = JSON.parse(text).error;
    return code && new MBError(code, message, { details, topic, requestId });
  } catch {
    return undefined;
  }
}

/** The answer to a request whose handler has thrown. */
export function errorPayload(error: unknown): string {
  const { code, details } = error instanceof MBError ? error : { code: "HANDLER_ERROR", details: undefined };
  const text = textOf(error);
  const message = details ? text.slice(code.length + 2) : text;
  return JSON.stringify({ error: { code, message, timestamp: new Date(), details } });
}
