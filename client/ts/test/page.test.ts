import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { chromium, type Browser } from "playwright-core";
import { Nodes } from "./nodes.js";
import type { Scenario } from "./runner.js";

// The scenarios in a page, which finds the client as it is shipped by an import map.

const html = `<!doctype html><script type="importmap">
{ "imports": { "mbserver-client": "/client.js" } }
</script>`;
const files: Record<string, string> = { "/client.js": "dist/index.min.js", "/runner.js": "build/page/runner.js" };

const pages = createServer((request, response) => {
  const file = files[request.url!];
  response.setHeader("Content-Type", file ? "text/javascript" : "text/html");
  response.end(file ? readFileSync(file) : html);
});
let browser: Browser;
let origin: string;

before(async () => {
  await new Promise<void>((done) => pages.listen(0, "127.0.0.1", done));
  origin = `http://localhost:${(pages.address() as { port: number }).port}`;
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--ignore-certificate-errors"] });
});

after(async () => {
  await browser?.close();
  pages.close();
});

const { scenarios } = JSON.parse(readFileSync("../testdata/scenarios.json", "utf8")) as { scenarios: Scenario[] };

for (const transport of ["ws", "wss"]) {
  for (const scenario of scenarios) {
    test(`${scenario.name}, a page over ${transport}`, async () => {
      const nodes = new Nodes(transport);
      const page = await browser.newPage();
      try {
        await page.exposeFunction("address", (name: string) => nodes.address(name));
        await page.exposeFunction("control", (verb: string, name: string, about: unknown) => nodes.control(verb, name, about));
        await page.goto(origin);
        const failed = await page.evaluate(async (scenario) => {
          const { address, control } = globalThis as any;
          const { run } = await import("/runner.js" as string);
          try {
            await run(scenario, { options: {}, address, control });
            return "";
          } catch (error) {
            return (error as Error).message;
          }
        }, scenario);
        if (failed) throw new Error(failed);
      } finally {
        await page.close();
        await nodes.end();
      }
    });
  }
}
