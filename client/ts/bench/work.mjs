// One program's part of the comparison, in Node and in a page: publishes, or receives, `count` messages of 128 bytes of JSON, made of
// an object and read into one. compare.mjs bundles it with the three clients.
import { wsconnect } from "@nats-io/nats-core";
import { WebSocketClient } from "mb-client-js";
import { connect } from "../dist/index.js";

const topic = "bench.topic";
const payload = (n) => ({ n, text: "x".repeat(105) });
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
/** After how many messages a client that has no bound of its own waits until the broker has taken them. */
const every = 1000;

const clients = {
  async mb(url) {
    const mb = await connect(url);
    return {
      subscribe: (f) => mb.subscribe(topic, ({ data }) => f(data)),
      async publish(data) {
        for (;;) {
          try {
            return mb.publish(topic, data);
          } catch (error) {
            if (error.code !== "BUFFER_FULL") throw error;
            await mb.flush();
          }
        }
      },
      taken: () => mb.ping(),
    };
  },
  async original(url) {
    const client = new WebSocketClient({ url });
    await client.connect();
    const taken = () => client.request("system.heartbeat", {});
    let n = 0;
    return {
      subscribe: (f) => client.subscribe("publish", topic, 0, ({ payload }) => f(payload)),
      async publish(data) {
        void client.publish(topic, data); // Its promise takes a timer.
        if (++n % every === 0) await taken();
      },
      taken,
    };
  },
  async nats(url) {
    const nc = await wsconnect({ servers: url });
    let n = 0;
    return {
      subscribe: (f) => nc.subscribe(topic, { callback: (_, m) => f(m.json()) }),
      async publish(data) {
        nc.publish(topic, JSON.stringify(data));
        if (++n % every === 0) await nc.flush();
      },
      taken: () => nc.flush(),
    };
  },
};

/** Messages a second; of who receives also how many came. `ready` is called when publishing may begin. */
export async function play(kind, role, url, count, ready) {
  const client = await clients[kind](url);
  if (role === "out") {
    const started = performance.now();
    for (let n = 0; n < count; n++) await client.publish(payload(n));
    await client.taken();
    return { rate: count / ((performance.now() - started) / 1000) };
  }
  let got = 0;
  let first;
  let last;
  const all = new Promise((done) => {
    void client.subscribe(() => {
      first ??= performance.now();
      last = performance.now();
      if (++got === count) done();
    });
  });
  await client.taken();
  await ready();
  // When some are missing it ends when nothing has come for two seconds.
  const quiet = (async () => {
    while (!first || performance.now() - last < 2000) await sleep(100);
  })();
  await Promise.race([all, quiet]);
  return { rate: got / ((last - first) / 1000), got };
}
