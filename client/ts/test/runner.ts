import { connect, MBError, type Client, type Message, type Options, type Subscription } from "../src/index.js";

// Runs the steps of client/testdata/scenarios.json, in Node and in a page.

/** How long anything may take that must happen. */
const patience = 20_000;

/** What a scenario needs of the world. */
export interface World {
  /** Options of every connect. */
  options: Options;
  /** The address of a node. */
  address(node: string): Promise<string>;
  /** Starts a node, ends or signals it, or gives it other settings. */
  control(verb: "start" | "signal" | "end" | "configure", node: string, about: unknown): Promise<void>;
}

export interface Scenario {
  name: string;
  steps: Record<string, any>[];
}

type Step = Record<string, any>;

interface Made {
  s: Subscription | undefined;
  got: unknown[];
  all: number;
  hold: Promise<void> | undefined;
  release: () => void;
}

interface Known {
  client: Client;
  events: { name: string; about: any }[];
  dropped: number;
  pendingBytes: number | undefined;
}

const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));

async function eventually(what: string, holds: () => unknown): Promise<void> {
  for (const end = Date.now() + patience; !(await holds()); await sleep(10)) {
    if (Date.now() > end) throw new Error(`not in ${patience} ms: ${what}`);
  }
}

const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);

function check(holds: unknown, what: string): void {
  if (!holds) throw new Error(what);
}

class Run {
  readonly world: World;
  readonly clients = new Map<string, Known>();
  readonly made = new Map<string, Made>();
  readonly later = new Map<string, Promise<unknown>>();
  /** Asks what stands, by node. */
  readonly observers = new Map<string, Client>();

  constructor(world: World) {
    this.world = world;
  }

  client(name: string): Known {
    return this.clients.get(name)!;
  }

  /** What a step waits for or what it fails with. */
  async outcome(step: Step, call: (options: { signal?: AbortSignal; timeoutMs?: number }) => unknown): Promise<void> {
    const { abortMs, timeoutMs, later } = step;
    const abort = new AbortController();
    if (abortMs === 0) abort.abort();
    else if (abortMs) setTimeout(() => abort.abort(), abortMs);
    const options = { ...(abortMs === undefined ? {} : { signal: abort.signal }), ...(timeoutMs ? { timeoutMs } : {}) };
    const done = (async () => call(options))();
    if (later) {
      done.catch(() => {});
      this.later.set(later, done);
      return;
    }
    await this.settled(step, done);
  }

  async settled(step: Step, done: Promise<unknown>): Promise<void> {
    const { fails, reason, answer, subscribers } = step;
    const late = sleep(patience).then(() => "late");
    let got: any;
    try {
      got = await Promise.race([done, late]);
    } catch (error) {
      const code = error instanceof MBError ? error.code : (error as Error).name === "AbortError" ? "ABORTED" : error;
      check(code === fails, `it failed with ${error}, not with ${fails}`);
      if (reason) check((error as MBError).details.reason === reason, `the reason: ${(error as MBError).details.reason}`);
      return;
    }
    check(got !== "late", "it was not settled");
    check(!fails, `it did not fail, but gave ${JSON.stringify(got)}`);
    if (answer !== undefined) check(same(got, answer), `answered with ${JSON.stringify(got)}`);
    if (subscribers !== undefined) check(got.subscribers === subscribers, `${got.subscribers} subscribers`);
  }

  async connect(step: Step): Promise<void> {
    const { to, tokens, connect: name } = step;
    const addresses = await Promise.all(to.map((node: string) => this.world.address(node)));
    let n = 0;
    const token = tokens && (() => tokens[Math.min(n++, tokens.length - 1)]);
    const options = { backoffMinMs: 20, backoffMaxMs: 200, log: null, ...(token ? { token } : {}) };
    await this.outcome(step, async () => {
      const client = await connect(addresses, { ...this.world.options, ...options });
      const known: Known = { client, events: [], dropped: 0, pendingBytes: step.pendingBytes };
      this.clients.set(name, known);
      for (const event of ["error", "disconnect", "reconnect", "move", "revoked"] as const) {
        client.on(event, (about: any) => known.events.push({ name: event, about }));
      }
      client.on("dropped", (gap) => (known.dropped += gap.count));
    });
  }

  holder(step: Step): Made {
    const made: Made = { s: undefined, got: [], all: 0, hold: undefined, release: () => {} };
    if (step.hold) made.hold = new Promise((done) => (made.release = done));
    this.made.set(step.subscribe ?? step.handle, made);
    return made;
  }

  async subscribe(step: Step): Promise<void> {
    const { client, pendingBytes } = this.client(step.client);
    const { pattern, many } = step;
    const made = this.holder(step);
    const take = (m: Message) => {
      made.all++;
      if (step.spoil) m.data.whose = "spoilt";
      else made.got.push(m.data);
      return made.hold;
    };
    await this.outcome(step, async (options) => {
      const all = { ...options, ...(pendingBytes ? { pendingBytes } : {}) };
      if (!many) made.s = await client.subscribe(pattern, take, all);
      else await Promise.all(Array.from({ length: many }, (_, i) => client.subscribe(pattern + i, take, all)));
    });
  }

  async handle(step: Step): Promise<void> {
    const made = this.holder(step);
    await this.outcome(step, async (options) => {
      const answer = async ({ data }: Message) => {
        await made.hold;
        if (step.throws) throw new MBError(step.throws, "as it was asked to");
        return data;
      };
      made.s = await this.client(step.client).client.handle(step.pattern, answer, options);
    });
  }

  /** Who asks a node what stands there. */
  async observer(node: string): Promise<Client> {
    let client = this.observers.get(node);
    if (!client || !client.connected) {
      client = await connect(await this.world.address(node), { ...this.world.options, reconnect: false, log: null });
      this.observers.set(node, client);
    }
    return client;
  }

  async message(step: Step): Promise<void> {
    const { client } = this.client(step.client);
    const data = step.bytes ? "x".repeat(step.bytes) : step.data;
    for (let n = 0; n < (step.repeat ?? 1); n++) {
      await this.outcome(step, async (options) => {
        if (step.publish) return client.publish(step.publish, data);
        if (step.publishAck) return client.publishAck(step.publishAck, data, options);
        return client.request(step.request, data, options);
      });
    }
  }

  async events(step: Step): Promise<void> {
    const { events } = this.client(step.client);
    if (step.quiet) {
      const heard = events.filter(({ name }) => step.quiet.includes(name));
      check(heard.length === 0, heard.map(({ name, about }) => `${name}: ${about?.message ?? JSON.stringify(about)}`).join("; "));
      return;
    }
    const at = () => events.findIndex(({ name, about }) => name === step.happens && (!step.code || about.code === step.code));
    await eventually(`${step.happens} (there was: ${events.map((e) => e.name)})`, () => at() >= 0);
    events.splice(at(), 1);
  }

  async looks(step: Step): Promise<void> {
    const observer = await this.observer(step.on);
    await eventually(JSON.stringify(step), async () => {
      if (step.lists) {
        const { services } = await observer.system("system.service.list");
        return services.filter(({ name }: any) => name === step.lists).length === step.count;
      }
      const { subscriptions } = await observer.system("system.topic.subscriptions");
      const found = subscriptions.find(({ topic }: any) => topic === step.stands);
      return (found?.subscribers.length ?? 0) === step.count;
    });
  }

  async received(step: Step): Promise<void> {
    const made = this.made.get(step.receives ?? step.accounts)!;
    if (step.receives) {
      await eventually(`${JSON.stringify(made.got)} is ${JSON.stringify(step.data)}`, () => same(made.got, step.data));
      made.got = [];
      return;
    }
    const known = this.client(step.client);
    const sum = () => `${made.all} came, ${known.dropped} were dropped`;
    await eventually(`${step.count}: ${sum()}`, () => made.all + known.dropped >= step.count).catch((error) => {
      throw new Error(`${error.message}; ${sum()}`);
    });
    check(made.all + known.dropped === step.count && made.all > 0 && known.dropped > 0, sum());
  }

  async step(step: Step): Promise<void> {
    const { world } = this;
    const verbs: Record<string, () => unknown> = {
      node: () => world.control("start", step.node, step.settings ?? {}),
      end: () => world.control("end", step.end, { with: step.with, wait: step.wait ?? true }),
      signal: () => world.control("signal", step.signal, step.with),
      configure: () => world.control("configure", step.configure, step.settings),
      pauseMs: () => sleep(step.pauseMs),
      connect: () => this.connect(step),
      subscribe: () => this.subscribe(step),
      unsubscribe: () => this.made.get(step.unsubscribe)!.s!.unsubscribe(),
      handle: () => this.handle(step),
      release: () => {
        const made = this.made.get(step.release)!;
        made.hold = undefined;
        made.release();
      },
      publish: () => this.message(step),
      publishAck: () => this.message(step),
      request: () => this.message(step),
      finished: () => this.settled(step, this.later.get(step.finished)!),
      register: () => this.client(step.client).client.register({ name: step.register }),
      ping: () => this.client(step.ping).client.ping(),
      drain: () => this.outcome(step, () => this.client(step.drain).client.drain()),
      close: () => this.client(step.close).client.close(),
      kick: () => {
        const { serviceId } = this.client(step.kick).client.info;
        return this.client(step.client).client.system("system.connection.kick", { serviceId });
      },
      happens: () => this.events(step),
      quiet: () => this.events(step),
      stands: () => this.looks(step),
      lists: () => this.looks(step),
      receives: () => this.received(step),
      accounts: () => this.received(step),
      identity: () =>
        eventually("who it is", () => {
          const { identity, expiresAt } = this.client(step.client).client.info;
          return identity === step.identity && Date.parse(expiresAt!) > Date.now() + step.lastsMs;
        }),
      ends: () => {
        const { s } = this.made.get(step.ends)!;
        check(s!.closed && s!.error?.code === step.fails, `it ended with ${s!.error}`);
      },
    };
    const verb = Object.keys(step).find((key) => key in verbs);
    if (!verb) throw new Error("no such verb");
    await verbs[verb]!();
  }

  async end(): Promise<void> {
    for (const made of this.made.values()) made.release();
    const all = [...this.observers.values(), ...[...this.clients.values()].map(({ client }) => client)];
    await Promise.all(all.map((client) => client.close()));
  }
}

/** Runs all steps; fails with the first that does not come out as it should. */
export async function run(scenario: Scenario, world: World): Promise<void> {
  const r = new Run(world);
  try {
    for (const [i, step] of scenario.steps.entries()) {
      await r.step(step).catch((error: unknown) => {
        throw new Error(`step ${i + 1}, ${JSON.stringify(step)}: ${(error as Error).message}`);
      });
    }
  } finally {
    await r.end();
  }
}
