import type { Header, Payload } from "./wire.js";

/** How many IDs are remembered; half as many always are. */
const overlapIds = 65_536;

type Arrival = [Header, Payload];

/**
 * The time in which two connections deliver (protocol §11). What comes over both is taken once; what
 * the new one brings waits for the last of the old one, so that the order of each publisher stays.
 */
export class Overlap {
  /** That need it. */
  moves = 0;
  #held: Arrival[] | undefined;
  #bytes = 0;
  #recent = new Set<string>();
  #older = new Set<string>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Begins to hold what a joining connection brings. */
  begin(): void {
    this.moves++;
    this.#held ??= [];
  }

  /** Whether the message is held back. Too much of it is not: then the order may suffer. */
  holds(arrival: Arrival): boolean {
    if (!this.#held || this.#bytes > this.#limit) return false;
    this.#bytes += arrival[1].length + 128;
    this.#held.push(arrival);
    return true;
  }

  /** Gives back what was held. */
  release(): Arrival[] {
    const held = this.#held ?? [];
    this.#held = undefined;
    this.#bytes = 0;
    return held;
  }

  /** Whether the message was taken before, and notes that it is. What has no ID cannot come twice. */
  twice(id: string): boolean {
    if (!id) return false;
    if (this.#recent.has(id) || this.#older.has(id)) return true;
    if (this.#recent.size >= overlapIds / 2) {
      this.#older = this.#recent;
      this.#recent = new Set();
    }
    this.#recent.add(id);
    return false;
  }
}
