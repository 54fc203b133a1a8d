import { spawn, execFileSync, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

// Nodes under test: the real mb-server, which MB_SERVER names.

const server = resolve(process.env.MB_SERVER ?? "../../bin/mb-server");
export const work = mkdtempSync(join(tmpdir(), "mb-ts-"));
process.on("exit", () => rmSync(work, { recursive: true, force: true }));

/** A certificate that signs itself. */
export const certificate = (() => {
  const [key, cert] = [join(work, "key.pem"), join(work, "cert.pem")];
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  execFileSync("openssl", [...kind, ...names, "-keyout", key, "-out", cert], { stdio: "ignore" });
  return { key, cert, pem: readFileSync(cert) };
})();

export const freePort = (): Promise<number> =>
  new Promise((done, fail) => {
    const probe = createServer();
    probe.once("error", fail);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => done(port));
    });
  });

/** "@+3s" is the time in 3 s. */
const inTime = (_: string, value: unknown) => {
  const [, seconds] = /^@\+(\d+)s$/.exec(String(value)) ?? [];
  return seconds ? new Date(Date.now() + Number(seconds) * 1000).toISOString() : value;
};

export class Node {
  readonly name: string;
  readonly ports: Record<string, number>;
  said = "";
  child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();

  private constructor(name: string, ports: Record<string, number>) {
    this.name = name;
    this.ports = ports;
  }

  static async new(name: string): Promise<Node> {
    return new Node(name, { ws: await freePort(), wss: await freePort() });
  }

  address(transport: string): string {
    return `${transport}://localhost:${this.ports[transport]}`;
  }

  get file(): string {
    return join(work, `${this.name}.json`);
  }

  write(settings: object): void {
    const ports = { ...this.ports, tcp: 0, tls: 0 };
    const { key, cert } = certificate;
    const own = { ports, "ssl.key": key, "ssl.cert": cert, "admin.address": "", "shutdown.spread": 0 };
    writeFileSync(this.file, JSON.stringify({ ...own, ...settings }, (k, v) => inTime(k, v)));
  }

  async start(settings: object = {}): Promise<void> {
    this.write(settings);
    await this.#ended;
    this.said = "";
    const child = spawn(server, ["--config", this.file], { env: {}, stdio: ["ignore", "pipe", "pipe"] });
    this.child = child;
    this.#ended = new Promise((done) => child.once("exit", () => done()));
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (part) => (this.said = (this.said + part).slice(-65536)));
    await this.says('"ready"');
  }

  async says(what: string): Promise<void> {
    for (const end = Date.now() + 20_000; !this.said.includes(what); await new Promise((done) => setTimeout(done, 5))) {
      if (Date.now() > end || this.child?.exitCode != null) throw new Error(`node ${this.name} does not say ${what}: ${this.said}`);
    }
  }

  async configure(settings: object): Promise<void> {
    this.said = "";
    this.write(settings);
    this.signal("HUP");
    await this.says('"configuration reloaded"');
  }

  signal(name: string): void {
    const { pid, exitCode, signalCode } = this.child!;
    // Not child.kill: in Deno it works once.
    if (pid && exitCode === null && signalCode === null) process.kill(pid, `SIG${name}`);
    while (name === "STOP" && !this.#stopped());
  }

  /** Whether no thread runs any more: a signal takes a moment. Where there is no /proc nobody knows. */
  #stopped(): boolean {
    const tasks = `/proc/${this.child!.pid}/task`;
    if (!existsSync(tasks)) return true;
    return readdirSync(tasks).every((task) => readFileSync(join(tasks, task, "stat"), "latin1").includes(") T"));
  }

  async end(name: string, wait = true): Promise<void> {
    this.signal(name);
    if (wait) await this.#ended;
  }
}

/** The nodes of one scenario. */
export class Nodes {
  readonly #all = new Map<string, Node>();
  readonly #transport: string;
  static #count = 0;
  readonly #id = ++Nodes.#count;

  constructor(transport: string) {
    this.#transport = transport;
  }

  async node(name: string): Promise<Node> {
    let node = this.#all.get(name);
    if (!node) this.#all.set(name, (node = await Node.new(`${name}-${this.#id}`)));
    return node;
  }

  async address(name: string): Promise<string> {
    return (await this.node(name)).address(this.#transport);
  }

  async control(verb: string, name: string, about: any): Promise<void> {
    const node = await this.node(name);
    if (verb === "start") await node.start(about);
    else if (verb === "configure") await node.configure(about);
    else if (verb === "signal") node.signal(about);
    else await node.end(about.with, about.wait);
  }

  async end(): Promise<void> {
    await Promise.all([...this.#all.values()].map((node) => node.child && node.end("KILL")));
  }
}
