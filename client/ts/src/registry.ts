import type { Subscription } from "./subscription.js";
import { matches } from "./wire.js";

/** How many topics' routes are remembered. */
const routeCache = 8192;

/** The subscriptions, by what they are at the broker: those with the same key are one there. */
export class Registry {
  private readonly _subs = new Map<string, Subscription[]>();
  private readonly _routes = new Map<string, Subscription[]>();

  _add(s: Subscription): void {
    const same = this._subs.get(s._key);
    if (same) same.push(s);
    else this._subs.set(s._key, [s]);
    this._routes.clear();
  }

  _remove(s: Subscription): void {
    const rest = this._of(s._key).filter((other) => other !== s);
    if (rest.length) this._subs.set(s._key, rest);
    else this._subs.delete(s._key);
    this._routes.clear();
  }

  _all(): Subscription[] {
    return [...this._subs.values()].flat();
  }

  /** In the order in which they were made. The options of the last count at the broker. */
  _of(key: string): Subscription[] {
    return this._subs.get(key) ?? [];
  }

  _keys(): string[] {
    return [...this._subs.keys()];
  }

  /** Whom a message of the action and the topic is for; of requests, who comes first. */
  _route(action: string, topic: string): Subscription[] {
    const at = `${action} ${topic}`;
    let route = this._routes.get(at);
    if (!route) {
      const canonical = topic.toLowerCase();
      route = this._all().filter((s) => s._key.startsWith(action) && matches(s.pattern, canonical));
      if (action === "request") route.sort((a, b) => b._worker!._priority - a._worker!._priority);
      if (this._routes.size >= routeCache) this._routes.clear();
      this._routes.set(at, route);
    }
    return route;
  }
}
