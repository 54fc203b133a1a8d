import type { Subscription } from "./subscription.js";
import { matches } from "./wire.js";

/** How many topics' routes are remembered. */
const routeCache = 8192;

/** The subscriptions, by what they are at the broker: those with the same key are one there. */
export class Registry {
  readonly #subs = new Map<string, Subscription[]>();
  readonly #routes = new Map<string, Subscription[]>();

  add(s: Subscription): void {
    const same = this.#subs.get(s.key);
    if (same) same.push(s);
    else this.#subs.set(s.key, [s]);
    this.#routes.clear();
  }

  remove(s: Subscription): void {
    const rest = this.of(s.key).filter((other) => other !== s);
    if (rest.length) this.#subs.set(s.key, rest);
    else this.#subs.delete(s.key);
    this.#routes.clear();
  }

  all(): Subscription[] {
    return [...this.#subs.values()].flat();
  }

  /** In the order in which they were made. The options of the last count at the broker. */
  of(key: string): Subscription[] {
    return this.#subs.get(key) ?? [];
  }

  keys(): string[] {
    return [...this.#subs.keys()];
  }

  /** Whom a message of the action and the topic is for; of requests, who comes first. */
  route(action: string, topic: string): Subscription[] {
    const at = `${action} ${topic}`;
    let route = this.#routes.get(at);
    if (!route) {
      const canonical = topic.toLowerCase();
      route = this.all().filter((s) => s.key.startsWith(action) && matches(s.pattern, canonical));
      if (action === "request") route.sort((a, b) => b.worker!.priority - a.worker!.priority);
      if (this.#routes.size >= routeCache) this.#routes.clear();
      this.#routes.set(at, route);
    }
    return route;
  }
}
