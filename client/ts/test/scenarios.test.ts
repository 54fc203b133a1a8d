import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { WebSocketClass } from "../src/index.js";
import { Nodes } from "./nodes.js";
import { run, type Scenario } from "./runner.js";
import { Trusting } from "./trusting.js";

// The scenarios in Node, with the package ws or, where MB_OWN is set, with the WebSocket that Node has itself.
const WebSocket = process.env.MB_OWN ? undefined : (Trusting as WebSocketClass);

const { scenarios } = JSON.parse(readFileSync("../testdata/scenarios.json", "utf8")) as { scenarios: Scenario[] };

for (const transport of ["ws", "wss"]) {
  for (const scenario of scenarios) {
    test(`${scenario.name}, ${transport}`, async () => {
      const nodes = new Nodes(transport);
      try {
        await run(scenario, {
          options: WebSocket ? { WebSocket } : {},
          address: (name) => nodes.address(name),
          control: (verb, name, about) => nodes.control(verb, name, about),
        });
      } finally {
        await nodes.end();
      }
    });
  }
}
