import { malformed, MBError } from "./errors.js";
import type { Message } from "./types.js";

// How messages are written (protocol §1 to §3).

/** What is sent and received: text as it is, or bytes. */
export type Payload = string | Uint8Array<ArrayBuffer>;

/** How a payload is read, and what is written from. */
export type Format = "json" | "text" | "bytes";

/** What a payload is in a format: `T` is the type of the JSON. */
export type Decoded<F extends Format, T> = F extends "json"
  ? T
  : F extends "text"
    ? string
    : Uint8Array<ArrayBuffer>;

/** A message but for its payload. */
export type Header = Omit<Message, "data">;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const isUUID = (id: string): boolean => /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(id);

export const isVersion = (version: string): boolean => /^(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}$/.test(version);

/** Whether a topic is of the broker's own. */
export const isSystem = (topic: string): boolean => /^system\../i.test(topic);

/** Refuses what the broker would refuse, and what would be no header. */
export function checkTopic(topic: string): void {
  if (topic.length > 255 || !/^[a-z][a-z\d]*(\.[a-z][a-z\d]*){0,4}$/i.test(topic)) {
    throw malformed(`"${topic}" is no topic: levels of letters and digits`, topic);
  }
}

/** Writes what is to be sent: bytes as they are, text as it is unless JSON is asked for. */
export function encode(data: unknown, as?: Format): Payload {
  if (data instanceof ArrayBuffer) data = new Uint8Array(data);
  if (data instanceof Uint8Array) return data as Uint8Array<ArrayBuffer>;
  return as && as !== "json" && typeof data === "string" ? data : (JSON.stringify(data) ?? "");
}

/** Reads what has come; throws when it is no JSON and should be. */
export function decode(payload: Payload, as: Format = "json", topic?: string): unknown {
  const text = typeof payload === "string";
  if (as === "bytes") return text ? encoder.encode(payload) : payload.slice();
  const read = text ? payload : decoder.decode(payload);
  if (as === "text") return read;
  try {
    return read ? JSON.parse(read) : undefined;
  } catch (cause) {
    throw malformed(`no JSON: ${(cause as Error).message}`, topic, cause);
  }
}

export const textIn = (payload: Payload): string => decode(payload, "text") as string;

/** Refuses a payload that is over the limit; it would cost the connection. */
export function checkLength(payload: Payload, limit = Infinity, topic?: string, code = "MALFORMED_MESSAGE"): void {
  const exact = typeof payload === "string" && payload.length * 3 > limit;
  const length = exact ? encoder.encode(payload).length : payload.length;
  if (length > limit) throw new MBError(code, `the payload has ${length} bytes, the broker's limit is ${limit}`, { topic });
}

/** One message, as the socket takes it. */
export function join(header: string, payload: Payload): Payload {
  if (typeof payload === "string") return header + "\n" + payload;
  const message = new Uint8Array(header.length + 1 + payload.length);
  encoder.encodeInto(header + "\n", message);
  message.set(payload, header.length + 1);
  return message;
}

/** The action of a message, its header and its payload. */
export function parse(data: string | ArrayBuffer): [string, Header, Payload] {
  const text = typeof data === "string";
  const whole: Payload = text ? data : new Uint8Array(data);
  const end = whole.indexOf((text ? "\n" : 10) as never);
  const [action = "", topic = "", version = "", id = "", parentId = ""] = textIn(whole.slice(0, end)).split(":");
  return [action, { topic, version, id, parentId }, whole.slice(end + 1)];
}

/** Whether the pattern, in lower case, takes the topic, in lower case (protocol §3). */
export function matches(pattern: string, topic: string): boolean {
  if (isSystem(topic)) return pattern === topic;
  const wanted = pattern.split(".");
  const levels = topic.split(".");
  for (const [i, level] of wanted.entries()) {
    if (level === "#") return true;
    if (!levels[i] || (level !== "+" && level !== levels[i])) return false;
  }
  return wanted.length === levels.length;
}
