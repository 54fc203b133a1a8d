// Serves flights.html at http://localhost:8080 and publishes the demo's flights, some every second, again and again.
//
//   make run                                # the node, in the repository's root
//   cd client/ts && npm ci && npm run build
//   node examples/flights.mjs
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { WebSocket } from "ws";
import { connect } from "../dist/index.js";

const here = (path) => new URL(path, import.meta.url);
const flights = readFileSync(here("../../../server/blackbox/testdata/flights.ndjson"), "utf8").trim().split("\n").map((line) => JSON.parse(line));
const files = { "/": here("flights.html"), "/index.min.js": here("../dist/index.min.js") };

const server = createServer(({ url }, response) => {
  const file = files[url.split("?")[0]];
  response.setHeader("Content-Type", url.startsWith("/index") ? "text/javascript" : "text/html; charset=utf-8");
  response.statusCode = file ? 200 : 404;
  response.end(file && readFileSync(file));
});
const port = Number(process.env.PORT ?? 8080);
server.listen(port, "localhost", () => console.log(`http://localhost:${server.address().port}`));

const mb = await connect(process.env.MB_SERVER ?? "ws://localhost:3000", { WebSocket });
for (let n = 0; ; n = (n + 1) % flights.length) {
  const { origin, destination, delay } = flights[n];
  const how = delay < 0 ? "early" : delay < 15 ? "ontime" : "late";
  if (mb.connected) mb.publish(`flights.${origin}.${destination}.${how}`, flights[n]);
  await new Promise((done) => setTimeout(done, 20));
}
