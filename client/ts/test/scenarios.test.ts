import { readFileSync } from "node:fs";
import { test } from "node:test";
import { WebSocket } from "ws";
import type { WebSocketClass } from "../src/index.js";
import { certificate, Nodes } from "./nodes.js";
import { run, type Scenario } from "./runner.js";

/** The package `ws`, which trusts the nodes' certificate. */
export class Trusting extends WebSocket {
  constructor(url: string) {
    super(url, { ca: certificate.pem });
  }
}

const { scenarios } = JSON.parse(readFileSync("../testdata/scenarios.json", "utf8")) as { scenarios: Scenario[] };

for (const transport of ["ws", "wss"]) {
  for (const scenario of scenarios) {
    test(`${scenario.name}, ${transport}`, async () => {
      const nodes = new Nodes(transport);
      try {
        await run(scenario, {
          options: { WebSocket: Trusting as WebSocketClass },
          address: (name) => nodes.address(name),
          control: (verb, name, about) => nodes.control(verb, name, about),
        });
      } finally {
        await nodes.end();
      }
    });
  }
}
