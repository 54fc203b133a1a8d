import type { MBError } from "./errors.js";
import type { Subscription } from "./subscription.js";
import type { Decoded, Format } from "./wire.js";

/** What the client needs of a WebSocket: the browser's, Node's, or one of the package `ws`. */
export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  onmessage: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  send(data: any): void;
  close(code?: number, reason?: string): void;
}

/** A WebSocket's class. */
export type WebSocketClass = new (url: string) => WebSocketLike;

/** Proof of who the client is: a token (at most 8 KiB), or who is asked for one. `""` is none. */
export type TokenSource = string | ((signal: AbortSignal) => string | Promise<string>);

/** How the client describes itself in the broker's list of services. */
export interface Registration {
  /** 1–36 characters. */
  name: string;
  /** At most 1024 characters; the name when it is left out. */
  description?: string;
  /** How many requests may be in flight to this service. */
  maxConcurrent?: number;
  /** At most 1 KiB as JSON. */
  metadata?: Record<string, string>;
}

/** How {@link connect} connects and how the client behaves afterwards. Times are milliseconds. */
export interface Options {
  /** Registers the client while it connects: a name, or more than that. */
  name?: string | Registration;
  /** Asked before each connection, and again when who the client is ends soon. */
  token?: TokenSource;
  /** The WebSocket to use; needed where there is none (Node 20): the package `ws`. */
  WebSocket?: WebSocketClass;
  /** Ends the first attempt to connect. */
  signal?: AbortSignal;
  /** Bounds each attempt, from the connect to the welcome (10,000). */
  connectTimeoutMs?: number;
  /** Version of the messages on user topics (`1.0.0`). */
  version?: string;
  /** After what silence the broker is asked for a sign of life (30,000); twice that is a loss. 0: never. */
  keepAliveMs?: number;
  /** Bytes that may wait to be sent (1 MiB); beyond that `BUFFER_FULL`. */
  outboundBytes?: number;
  /** Calls that may wait for their answers (65,536); beyond that `BUFFER_FULL`. */
  maxCalls?: number;
  /** false: a lost connection is final. */
  reconnect?: boolean;
  /** Before attempt n = 0, 1, … the client waits between 0 and min(max, min·2ⁿ) (100 and 10,000). */
  backoffMinMs?: number;
  backoffMaxMs?: number;
  /** Attempts after one loss; 0, the default, is for ever. */
  attempts?: number;
  /** Where is said what nobody listens to (`console.warn`); null: nowhere. */
  log?: ((...words: unknown[]) => void) | null;
}

/** What each call takes. */
export interface CallOptions {
  /** Gives the call up, which fails with the signal's reason. What was sent may have happened. */
  signal?: AbortSignal | undefined;
  /** Gives the call up with `TIMEOUT`. */
  timeoutMs?: number | undefined;
}

export interface PublishOptions {
  /** `text` sends a string as it is, not as JSON. Bytes are sent as they are anyway. */
  as?: Format;
}

export interface RequestOptions<F extends Format = "json"> extends CallOptions {
  /** How the answer is read (`json`); a string is sent as it is unless that is `json`. */
  as?: F;
  /** The ID of the {@link Request} for which this one is made. */
  parentId?: string;
}

export interface SubscribeOptions<F extends Format = "json"> extends CallOptions {
  /** How payloads are read (`json`). What is no JSON goes to the event `error`. */
  as?: F;
  /** What the broker does when this client is over its limit there (its configuration says). */
  overflow?: "drop" | "drop-oldest" | "disconnect";
  /** While this client is behind, the broker keeps only the newest message of each topic. */
  conflate?: boolean;
  /** Bytes of messages, 128 more each, that may wait for a slow callback or loop (8 MiB). */
  pendingBytes?: number;
  /** What is dropped when they are more (`newest`); the event `dropped` says how many. */
  whenFull?: "newest" | "oldest";
}

export interface HandleOptions<F extends Format = "json"> extends CallOptions {
  /** How requests are read (`json`); a string is answered as it is unless that is `json`. */
  as?: F;
  /** The broker gives a request to the highest (0). */
  priority?: number;
  /** Requests worked on at the same time (64). */
  concurrency?: number;
  /** Requests that wait for their turn (4096); more are answered `SERVICE_UNAVAILABLE`. */
  backlog?: number;
}

/** A message that was published, or a request. It belongs to who gets it. */
export interface Message<T = any> {
  /** As the publisher spelled it. */
  topic: string;
  version: string;
  /** The broker's: the same for all subscribers of this message; `""`: it has none. */
  id: string;
  /** Of a request: that of the request for which it is made; `""`: there is none. */
  parentId: string;
  data: T;
}

/** A request to a handler. */
export interface Request<T = any> extends Message<T> {
  /** Ends with the connection by which the request came: nobody can be answered then. */
  readonly signal: AbortSignal;
}

/** Answers a request with what it returns, or with what it throws. */
export type Handler<F extends Format, T> = (request: Request<Decoded<F, T>>) => unknown;

/** The broker's acknowledgement of a publish. */
export interface Ack {
  /** To how many subscribers the message was routed. */
  subscribers: number;
  /** How many of them were over their limit and did not get it. */
  dropped: number;
  /** How many of the broker's nodes have not said in time what they have: their subscribers are not counted. */
  unconfirmed?: number;
}

/** Messages are missing: this client is too slow, or they were lost between the broker's nodes. */
export interface Gap {
  /** The subscription whose callback or loop is slow; undefined: the broker tells it. */
  subscription?: Subscription;
  count: number;
  /** There may be fewer: the broker does not know which of them this client would have got. */
  atMost?: boolean;
  /** `cluster`: they were lost between nodes. */
  reason?: string;
  /** Replaced by newer ones of the same topic. */
  conflated?: number;
  /** The first and the last of them: ISO 8601. */
  since: string;
  until: string;
}

/** How a connection came to take the place of another. */
export interface Renewal {
  serviceId: string | undefined;
  nodeId: string | undefined;
  /** What the broker refused for good; it is asked for again after the next loss. */
  failed: { subscription: Subscription | undefined; error: MBError }[];
}

/** What can happen to a client beside its calls. */
export interface Events {
  /** What answers no call: a publish without acknowledgement that nobody was subscribed to, … */
  error: [error: MBError];
  /** Messages are missing, here and now. */
  dropped: [gap: Gap];
  /** The broker reads this publisher no more, or again. */
  flow: [flow: { state: "paused" | "resumed"; topic: string }];
  /** The connection was lost. Calls under way have failed. */
  disconnect: [cause: MBError];
  /** It is up again, and all that could be renewed stands. */
  reconnect: [renewal: Renewal];
  /** The node goes away; the client looks for another. */
  drain: [notice: { reconnectAfterMs: number; deadlineMs: number }];
  /** The client went to another node, and nothing was lost. */
  move: [renewal: Renewal];
  /** Who the client is ends soon; with a token source it is renewed. */
  expiring: [notice: { expiresAt: string; expiresInMs: number }];
  /** The broker has ended a subscription; its `error` says why. It is not made again. */
  revoked: [subscription: Subscription];
  /** The client is finished: `CLOSED`, or why there is no connection any more. */
  close: [cause: MBError];
}

/** What the broker has told of a connection. */
export interface Info {
  /** The broker's ID of the connection; it changes with every reconnect. */
  serviceId?: string;
  /** Of the broker's node. */
  nodeId?: string;
  serverVersion?: string;
  limits: Limits;
  /** Who the client is; undefined: the broker asks nobody. */
  identity?: string;
  /** When that ends unless it is renewed (ISO 8601); undefined: never. */
  expiresAt?: string;
}

/** The broker's limits; undefined: it did not tell. */
export interface Limits {
  /** Of a message. */
  payloadBytes?: number;
  /** Of a request, the longest. */
  timeoutMs?: number;
  outstandingRequests?: number;
}
