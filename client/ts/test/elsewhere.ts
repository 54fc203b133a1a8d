import { readFileSync } from "node:fs";
import { Nodes } from "./nodes.js";
import { run, type Scenario } from "./runner.js";

// The scenarios in Deno and in Bun, with their own WebSockets. Run by scripts/elsewhere.mjs; `argv` may name some of them.

const { scenarios } = JSON.parse(readFileSync("../testdata/scenarios.json", "utf8")) as { scenarios: Scenario[] };
const wanted = process.argv.slice(2);
let failed = 0;
for (const transport of ["ws", "wss"]) {
  for (const scenario of scenarios) {
    if (wanted.length && !wanted.includes(scenario.name)) continue;
    const nodes = new Nodes(transport);
    const begun = performance.now();
    try {
      await run(scenario, {
        options: {},
        address: (name) => nodes.address(name),
        control: (verb, name, about) => nodes.control(verb, name, about),
      });
      console.log(`✔ ${scenario.name}, ${transport} (${Math.round(performance.now() - begun)}ms)`);
    } catch (error) {
      failed++;
      console.log(`✖ ${scenario.name}, ${transport}: ${(error as Error).message}`);
    } finally {
      await nodes.end();
    }
  }
}
process.exit(failed ? 1 : 0);
