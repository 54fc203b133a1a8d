// A work queue: as many workers as you start share the work, each takes two pieces at a time, and who asks waits its turn.
//
//   npm install mbserver-client ws
//   node work-queue.mjs worker     # in one terminal, or several
//   node work-queue.mjs 20         # in another: 20 pieces of work
import { connect, retryAfter } from "mbserver-client";
import { WebSocket } from "ws";

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const what = process.argv[2] ?? "5";
const mb = await connect(process.env.MB_SERVER ?? "ws://localhost:3000", { WebSocket });

if (what === "worker") {
  // The broker holds back what is more than two, and gives it to whoever has room first.
  await mb.register({ name: "worker", maxConcurrent: 2 });
  await mb.handle("work.thumbnail", async ({ data }) => {
    await sleep(100);
    console.log(`done: ${data.picture}`);
    return { picture: data.picture, by: process.pid };
  });
  console.log("waiting for work");
  process.once("SIGINT", () => mb.drain()); // What has come is finished first.
} else {
  const ask = async (picture) => {
    for (;;) {
      try {
        return await mb.request("work.thumbnail", { picture }, { timeoutMs: 60_000 });
      } catch (error) {
        // A worker or the connection that goes away in the middle: the piece is asked for again.
        if (error.code === "DISCONNECTED") await mb.whenConnected();
        else if (retryAfter(error) !== undefined) await sleep(retryAfter(error));
        else throw error;
      }
    }
  };
  const done = await Promise.all(Array.from({ length: Number(what) }, (_, i) => ask(`picture ${i + 1}`)));
  const workers = new Set(done.map(({ by }) => by));
  console.log(`${done.length} pieces done by ${workers.size} workers`);
  await mb.close();
}
