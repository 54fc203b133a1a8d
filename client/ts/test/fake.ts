import type { WebSocketClass } from "../src/index.js";

// A network of brokers that do what a test says, without a socket.

type Sent = { action: string; topic: string; id: string; payload: string };

/** One connection, as a broker sees it. */
export class Peer {
  readonly url: string;
  readonly sent: Sent[] = [];
  bufferedAmount = 0;
  closed = false;
  binaryType = "";
  onmessage: ((event: any) => void) | null = null;
  onerror: ((event: any) => void) | null = null;
  onclose: ((event: any) => void) | null = null;
  /** Answers a request of the client; undefined: it gets none. */
  answer: (m: Sent) => object | undefined = () => ({ status: "success" });

  constructor(url: string) {
    this.url = url;
  }

  send(data: string | Uint8Array): void {
    const text = typeof data === "string" ? data : new TextDecoder().decode(data);
    const [head, payload = ""] = text.split(/\n(.*)/s);
    const [action = "", topic = "", version, id = ""] = head!.split(":");
    const m = { action, topic, id, payload };
    this.sent.push(m);
    if (action === "response" || (action === "publish" && !id)) return;
    const answer = this.answer(m);
    if (answer) queueMicrotask(() => this.says(`response:${topic}:${version}:${id}`, answer));
  }

  says(head: string, payload: unknown): void {
    if (!this.closed) this.onmessage?.({ data: `${head}\n${JSON.stringify(payload)}` });
  }

  /** A message for its subscribers. */
  delivers(topic: string, data: unknown, n: number): void {
    this.says(`publish:${topic}:1.0.0:00000000-0000-4000-8000-${String(n).padStart(12, "0")}`, data);
  }

  ends(code: number): void {
    if (this.closed) return;
    this.closed = true;
    queueMicrotask(() => this.onclose?.({ code, reason: "" }));
  }

  close(): void {
    this.ends(1000);
  }
}

/** The connections that were made, and a class to make them with. */
export function network(greets: (peer: Peer) => void) {
  const peers: Peer[] = [];
  class Fake extends Peer {
    constructor(url: string) {
      super(url);
      peers.push(this);
      queueMicrotask(() => greets(this));
    }
  }
  return { peers, WebSocket: Fake as unknown as WebSocketClass };
}

/** Greets as a node. */
export const welcome = (nodeId: string, more: object = {}) => (peer: Peer) =>
  peer.says("publish:system.initialize:1.0.0", { nodeId, serviceId: "s", limits: { payloadBytes: 100 }, ...more });
