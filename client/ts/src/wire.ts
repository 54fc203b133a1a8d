import { MBError } from "./errors.js";

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

export interface Header {
  action: string;
  topic: string;
  version: string;
  id: string;
  parent: string;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const topicRule = /^[a-z][a-z0-9]*(\.[a-z][a-z0-9]*){0,4}$/i;
const versionRule = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$/;
const uuidRule = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export const isUUID = (id: string): boolean => uuidRule.test(id);

/** Refuses what the broker would refuse, and what would not be a header. */
export function checkTopic(topic: string): void {
  if (typeof topic !== "string" || topic.length > 255 || !topicRule.test(topic)) {
    throw new MBError(
      "MALFORMED_MESSAGE",
      `${JSON.stringify(topic)} is not a topic: one to five levels with dots between them, ` +
        "each a letter and then letters and digits, 255 characters at most",
      { topic: String(topic) },
    );
  }
}

export function checkVersion(version: string): void {
  if (version.length > 20 || !versionRule.test(version)) {
    throw new MBError("MALFORMED_MESSAGE", `version ${version} is not MAJOR.MINOR.PATCH`);
  }
}

/** Writes what is to be sent: bytes as they are, text as it is unless JSON is asked for. */
export function encode(data: unknown, as: Format = "json"): Payload {
  if (data instanceof Uint8Array) return data as Uint8Array<ArrayBuffer>;
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (data === undefined) return "";
  if (as !== "json" && typeof data === "string") return data;
  return JSON.stringify(data) ?? "";
}

/** Reads what has come; throws when it is not JSON and should be. */
export function decode(payload: Payload, as: Format = "json"): unknown {
  if (as === "bytes") return typeof payload === "string" ? encoder.encode(payload) : payload.slice();
  const text = typeof payload === "string" ? payload : decoder.decode(payload);
  if (as === "text") return text;
  return text === "" ? undefined : JSON.parse(text);
}

/** How many bytes the payload has; exact where it may be over the limit, else at least as many. */
export function byteLength(payload: Payload, limit: number): number {
  if (typeof payload !== "string") return payload.length;
  return payload.length * 3 <= limit ? payload.length : encoder.encode(payload).length;
}

/** One message, as the socket takes it. */
export function join(header: string, payload: Payload): Payload {
  if (typeof payload === "string") return header + "\n" + payload;
  const message = new Uint8Array(header.length + 1 + payload.length);
  encoder.encodeInto(header + "\n", message);
  message.set(payload, header.length + 1);
  return message;
}

/** The header of a message and its payload; undefined: it is none. */
export function parse(data: unknown): [Header, Payload] | undefined {
  let head: string;
  let payload: Payload;
  if (typeof data === "string") {
    const end = data.indexOf("\n");
    head = data.slice(0, Math.max(end, 0));
    payload = data.slice(end + 1);
  } else {
    const bytes = new Uint8Array(data as ArrayBuffer);
    const end = bytes.indexOf(10);
    head = decoder.decode(bytes.subarray(0, Math.max(end, 0)));
    payload = bytes.subarray(end + 1);
  }
  const [action, topic, version, id = "", parent = ""] = head.split(":");
  if (!action || !topic || !version) return undefined;
  return [{ action, topic, version, id, parent }, payload];
}

/** Whether a topic is of the broker's own. */
export const isSystem = (topic: string): boolean => /^system\../i.test(topic);

/** Whether the pattern, in lower case, takes the topic, in lower case (protocol §3). */
export function matches(pattern: string, topic: string): boolean {
  if (isSystem(topic)) return pattern === topic;
  const wanted = pattern.split(".");
  const levels = topic.split(".");
  for (const [i, level] of wanted.entries()) {
    if (level === "#") return true;
    if (i >= levels.length || (level !== "+" && level !== levels[i])) return false;
  }
  return wanted.length === levels.length;
}
