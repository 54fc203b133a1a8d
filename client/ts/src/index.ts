/**
 * The client of the MB message broker for browsers, Node, Deno and Bun.
 *
 * @packageDocumentation
 */
export { connect, Client } from "./client.js";
export { MBError, retryAfter, type Code, type ErrorContext } from "./errors.js";
export { Subscription } from "./subscription.js";
export type * from "./types.js";
export type { Decoded, Format } from "./wire.js";
