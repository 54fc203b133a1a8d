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
  const told = toldRetry(error);
  if (told) return Math.min(told, 60_000);
  const busy = /^(SERVICE_UNAVAILABLE|RATE_LIMIT_EXCEEDED|TIMEOUT)$/.test(error.code);
  return busy && error.details.reason !== "subscription_limit" ? 1000 : undefined;
}

/** When the broker said that it wants to be asked again, in ms; 0: it did not. */
export const toldRetry = ({ details }: MBError): number => Math.max(Number(details.retryAfterMs) || 0, 0);

/** There is no connection. */
export const lost = (message: string, cause?: unknown): MBError => new MBError("DISCONNECTED", message, { cause });

export const malformed = (message: string, topic?: string, cause?: unknown): MBError =>
  new MBError("MALFORMED_MESSAGE", message, { topic, cause });

/** What was thrown, in words. */
export const textOf = (thrown: unknown): string => String((thrown as Error)?.message ?? thrown);

/** The error that an answer says (protocol §7), or undefined when it is something else. */
export function parseError(text: string, topic?: string, requestId?: string): MBError | undefined {
  if (!/^\s*\{\s*"error"/.test(text)) return undefined;
  try {
    const { code, message, details } = JSON.parse(text).error;
    return code && new MBError(code, message, { details: Object(details), topic, requestId });
  } catch {
    return undefined;
  }
}

/** What HTTP answers to a handshake, as Node shows it. */
export interface Answer extends AsyncIterable<unknown> {
  statusCode: number;
  headers: Record<string, string | undefined>;
}

/** What a status means where the body says nothing better. */
const meanings: Record<number, Code> = { 401: "UNAUTHORIZED", 403: "FORBIDDEN", 429: "RATE_LIMIT_EXCEEDED", 503: "SERVICE_UNAVAILABLE" };

/** How much of the body is read, in characters. */
const maxRefusal = 65_536;

/**
 * Why a handshake was refused (protocol §4): the error in the body, or what the status means. Who stands before the broker
 * may say when to come again, too: in seconds, or at a time (RFC 9110 §10.2.3).
 */
export async function refusal(url: string, answer: Answer): Promise<MBError> {
  const { statusCode, headers } = answer;
  let body = "";
  try {
    for await (const part of answer) if (body.length < maxRefusal) body += part;
  } catch {
    // What has come may do.
  }
  const error =
    parseError(body) ?? new MBError(meanings[statusCode] ?? "INTERNAL_ERROR", `${url}: refused with status ${statusCode}`);
  const after = headers["retry-after"];
  if (after) error.details.retryAfterMs ??= Number(after) * 1000 || Math.max(Date.parse(after) - Date.now() || 0, 0);
  return error;
}

/** The answer to a request whose handler has thrown. */
export function errorPayload(error: unknown): string {
  const { code = "HANDLER_ERROR", details = undefined } = error instanceof MBError ? error : {};
  const text = textOf(error);
  const message = details ? text.slice(code.length + 2) : text;
  return JSON.stringify({ error: { code, message, timestamp: new Date(), details } });
}
