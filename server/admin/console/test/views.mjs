// Looks at every view of the console in Chromium, at a node with traffic: wide and narrow, light and
// dark. Fails for what axe-core finds serious, for what the browser complains of, for what is wider
// than the window, and for a view that does not show what it should. Leaves a picture of each view in
// a folder, and with --docs those that the documentation shows in docs/images.
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { out, root, startNode } from './node.mjs';
import { done, fault, launch } from './page.mjs';
import { settings, start, troubled } from './traffic.mjs';

const docs = process.argv.includes('--docs');
const imageBytes = 100_000;

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

// Views by their picture's name: the address, what they show, and the picture of the documentation.
const views = (ids) => ({
  overview: { at: 'overview', texts: ['slow subscriber', 'limited client', 'saturated service', 'requests unserved', 'Messages'], image: true },
  connections: { at: 'connections?sort=dropped', texts: ['dashboard', 'board-1', 'airline'], image: true },
  connection: { at: 'connections/' + ids.dashboard, texts: ['What it went through', 'flights.#', 'Kick'] },
  services: { at: 'services?sort=answerP99Ms', texts: ['pricing', 'billing', 'writes invoices', 'p99'], image: true },
  topics: { at: 'topics?pattern=flights.%23&action=publish', texts: ['flights', 'published', 'Who is subscribed to', 'dashboard'], image: true },
  tail: { at: 'tail?topic=orders.%23', texts: ['orders.', '"total": 42.5'], image: true },
  explain: { at: 'explain?topic=flights.sfo.lax.late', texts: ['What would become of it', 'late-alerts'], image: true },
  cluster: { at: 'cluster', texts: ['This node is alone'] },
  configuration: { at: 'configuration?only=set', texts: ['admin.operator', 'connection.outbound.bytes'] },
  logs: { at: 'logs?level=debug', texts: ['Logs'] },
});

const windows = [
  { name: 'wide-light', width: 1280, height: 900, colorScheme: 'light', image: true },
  { name: 'wide-dark', width: 1280, height: 900, colorScheme: 'dark' },
  { name: 'narrow-light', width: 390, height: 844, colorScheme: 'light' },
  { name: 'narrow-dark', width: 390, height: 844, colorScheme: 'dark' },
];

// picture writes what the page shows; WebP is a third of what PNG is.
async function picture(page, file) {
  const session = await page.context().newCDPSession(page);
  const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: 80 });
  writeFileSync(file, Buffer.from(data, 'base64'));
  await session.detach();
}

async function look(browser, node, window, all) {
  const { name: of, image, width, height, colorScheme } = window;
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, reducedMotion: 'reduce' });
  const page = await context.newPage();
  let view = '';
  page.on('console', (m) => {
    if (m.type() === 'error' || m.type() === 'warning') fault(`${of} ${view}: the browser: ${m.text()}`);
  });
  page.on('pageerror', (e) => fault(`${of} ${view}: ${e.message}`));
  for (const [name, { at, texts, image: shown }] of Object.entries(all)) {
    view = name;
    await page.goto(node.base + '/#/' + at);
    for (const text of texts) {
      await page.waitForFunction((t) => document.body.innerText.includes(t), text, { timeout: 10000 })
        .catch(() => fault(`${of} ${name}: it does not show ${JSON.stringify(text)}`));
    }
    await page.waitForTimeout(300); // charts and tables that come after their heads
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (over > 0) fault(`${of} ${name}: ${over} px wider than the window`);
    await page.evaluate(axe); // by the debugger, which the page's policy does not bind
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    for (const v of violations) {
      const say = `${of} ${name}: axe: ${v.impact} ${v.id}: ${v.help}: ${v.nodes[0].html.slice(0, 160)}`;
      if (v.impact === 'serious' || v.impact === 'critical') fault(say);
      else console.log(say);
    }
    await picture(page, `${out}/${name}-${of}.webp`);
    if (!image || !shown) continue;
    const file = `${root}docs/images/console-${name}.webp`;
    if (docs) await picture(page, file);
    if (statSync(file, { throwIfNoEntry: false })?.size > imageBytes) fault(`${file} is larger than ${imageBytes} bytes`);
  }
  await context.close();
}

const node = await startNode(settings);
const traffic = start(node);
let browser;
try {
  mkdirSync(out, { recursive: true });
  mkdirSync(root + 'docs/images', { recursive: true });
  await troubled(node);
  if (docs) await new Promise((r) => setTimeout(r, Number(process.env.HISTORY_MS || 45000))); // lines to be seen in plots
  const { connections } = await (await fetch(node.base + '/connz?limit=1000')).json();
  const ids = Object.fromEntries(connections.map((c) => [c.name, c.id]));
  browser = await launch();
  for (const window of windows) await look(browser, node, window, views(ids));
} finally {
  await browser?.close();
  traffic.stop();
  node.stop();
}
done((faults) => `${Object.keys(views({})).length} views in ${windows.length} windows, ${faults} faults; pictures are in ${out}`);
