import { MBError } from "./errors.js";
import type { CallOptions } from "./types.js";

const longest = 2 ** 31 - 1;

/** A timer that takes any time. */
export const later = (done: () => void, ms: number) => setTimeout(done, Math.min(Math.max(ms, 0), longest));

export const sleep = (ms: number): Promise<void> => new Promise((done) => later(done, ms));

/** Ends a wait with the signal or the time; what is waited for goes on. */
export async function bounded<T>(promise: Promise<T>, { signal, timeoutMs }: CallOptions = {}): Promise<T> {
  if (!signal && timeoutMs === undefined) return promise;
  let abort!: () => void;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const end = new Promise<never>((_, reject) => {
    abort = () => reject(signal!.reason);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort);
    const late = () => reject(new MBError("TIMEOUT", "no answer in time", { cause: "the client" }));
    if (timeoutMs !== undefined) timer = later(late, timeoutMs);
  });
  try {
    return await Promise.race([promise, end]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}
