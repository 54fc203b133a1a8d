// Looks at every view of the console in Chromium, at a node with traffic: from 360 to 3840 px, light
// and dark. Fails for what axe-core finds serious, for what the browser complains of, for what is wider
// than the window or cut off, and for a view that does not show what it should. Leaves a picture of
// each view in a folder, and with --docs those that the documentation shows in docs/images.
// VIEWS=overview,logs looks at these alone.
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { out, root, startNode } from './node.mjs';
import { done, fault, launch, patience } from './page.mjs';
import { settings, start, troubled } from './traffic.mjs';

const docs = process.argv.includes('--docs');
const imageBytes = 100_000;

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

// Views by their picture's name: the address, what they show, a button that is pressed then (what moves
// on is hard to judge), and whether the documentation has a picture of it.
const views = (ids) => ({
  overview: { at: 'overview', texts: ['slow subscriber', 'limited client', 'saturated service', 'requests unserved', 'Messages'], image: true },
  connections: { at: 'connections?sort=dropped', texts: ['dashboard', 'board-1', 'airline'], image: true },
  connection: { at: 'connections/' + ids.dashboard, texts: ['What it went through', 'flights.#', 'Kick'] },
  services: { at: 'services?sort=answerP99Ms', texts: ['pricing', 'billing', 'writes invoices', 'p99'], image: true },
  topics: { at: 'topics?pattern=flights.%23&action=publish', texts: ['flights', 'published', 'Who is subscribed to', 'dashboard'], image: true },
  tail: { at: 'tail?topic=orders.%23', texts: ['orders.', '"total": 42.5'], then: 'Pause', image: true },
  explain: { at: 'explain?topic=flights.sfo.lax.late', texts: ['What would become of it', 'late-alerts'], image: true },
  cluster: { at: 'cluster', texts: ['This node is alone'] },
  configuration: { at: 'configuration?only=set', texts: ['admin.operator', 'connection.outbound.bytes'] },
  logs: { at: 'logs?level=info', texts: ['refused a connection of a web page'], then: 'Pause' },
  runbook: { at: 'runbook', texts: ['subscribers lose messages', 'what to do', 'Requests'] },
  'runbook-row': { at: 'runbook/slow-subscriber', texts: ['subscribers lose messages', 'a subscriber reads slower than it is sent'] },
});

// What the page is looked at with: from a small telephone to a screen of 4K. axe-core takes most of
// the time: it looks at each of the page's three layouts once.
const windows = [
  { width: 360, height: 740, axe: true }, { width: 390, height: 844 }, { width: 1280, height: 900, axe: true, image: true }, { width: 1440, height: 900 },
  { width: 3840, height: 2160, axe: true },
];
const schemes = ['light', 'dark'];

// picture writes what the page shows; WebP is a third of what PNG is.
async function picture(page, file, quality = 80) {
  const session = await page.context().newCDPSession(page);
  const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality });
  writeFileSync(file, Buffer.from(data, 'base64'));
  await session.detach();
}

// cut returns what the page has and does not show: what is outside of the window, or of what holds it,
// where nothing scrolls there.
function cut() {
  const found = [];
  const say = (e, what) => found.push(`${what}: ${e.outerHTML.slice(0, 120)}`);
  const scrolls = (e) => ['auto', 'scroll'].includes(getComputedStyle(e).overflowX);
  for (const e of document.querySelectorAll('#app *')) {
    if (e.closest('.skip, dialog:not([open]), .uplot, option')) continue;
    const box = e.getBoundingClientRect();
    if (box.width === 0 || box.height === 0) continue;
    if (!scrolls(e) && !e.matches('input, select, textarea, svg *') && getComputedStyle(e).display !== 'inline' && e.scrollWidth > e.clientWidth + 1) say(e, `${e.scrollWidth - e.clientWidth} px wider than its place`);
    let holder = e.parentElement;
    while (holder && !scrolls(holder)) holder = holder.parentElement;
    if (!holder && (box.right > innerWidth + 1 || box.left < -1)) say(e, 'outside of the window');
  }
  const head = document.querySelector('header.top').getBoundingClientRect().height;
  if (head > innerHeight / 4) found.push(`the head takes ${Math.round(head)} of ${innerHeight} px`);
  return found;
}

// look looks at a view, as it stands on the page, in one window.
async function look(page, name, of, window) {
  await page.setViewportSize(window);
  await page.evaluate(() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))); // charts are drawn anew
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (over > 0) fault(`${of} ${name}: ${over} px wider than the window`);
  for (const what of await page.evaluate(cut)) fault(`${of} ${name}: ${what}`);
  const { violations } = window.axe ? await page.evaluate(() => globalThis.axe.run()) : { violations: [] };
  for (const v of violations) {
    const say = `${of} ${name}: axe: ${v.impact} ${v.id}: ${v.help}: ${v.nodes[0].html.slice(0, 160)}`;
    if (v.impact === 'serious' || v.impact === 'critical') fault(say);
    else console.log(say);
  }
  if (window.width < 3000 || of.endsWith('light')) await picture(page, `${out}/${name}-${of}.webp`); // half a second each on a wall
}

async function tour(browser, node, colorScheme, all) {
  const context = await browser.newContext({ viewport: windows[0], colorScheme, reducedMotion: 'reduce' });
  const page = await context.newPage();
  let view = '';
  page.on('console', (m) => {
    if (m.type() === 'error' || m.type() === 'warning') fault(`${colorScheme} ${view}: the browser: ${m.text()}`);
  });
  page.on('pageerror', (e) => fault(`${colorScheme} ${view}: ${e.message}`));
  for (const [name, { at, texts, then, image }] of Object.entries(all)) {
    view = name;
    await page.goto(node.base + '/#/' + at);
    for (const text of texts) {
      await page.waitForFunction((t) => document.body.innerText.includes(t), text, { timeout: patience })
        .catch(() => fault(`${colorScheme} ${name}: it does not show ${JSON.stringify(text)}`));
    }
    if (then && !docs) await page.getByRole('button', { name: then, exact: true }).click({ timeout: patience });
    await page.waitForTimeout(300); // charts and tables that come after their heads
    await page.evaluate(axe); // by the debugger, which the page's policy does not bind
    for (const window of windows) {
      await look(page, name, `${window.width}-${colorScheme}`, window);
      if (!window.image || colorScheme !== 'light' || !image) continue;
      const file = `${root}docs/images/console-${name}.webp`;
      if (docs) await picture(page, file, 60); // all of them are in the repository
      if (statSync(file, { throwIfNoEntry: false })?.size > imageBytes) fault(`${file} is larger than ${imageBytes} bytes`);
    }
  }
  await context.close();
}

const node = await startNode(settings);
const traffic = start(node);
let browser;
let looked = 0;
try {
  mkdirSync(out, { recursive: true });
  mkdirSync(root + 'docs/images', { recursive: true });
  await troubled(node);
  if (docs) await new Promise((r) => setTimeout(r, Number(process.env.HISTORY_MS || 45000))); // lines to be seen in plots
  const { connections } = await (await fetch(node.base + '/connz?limit=1000')).json();
  const ids = Object.fromEntries(connections.map((c) => [c.name, c.id]));
  browser = await launch();
  const wanted = (process.env.VIEWS || Object.keys(views({})).join()).split(',');
  const all = Object.fromEntries(Object.entries(views(ids)).filter(([name]) => wanted.includes(name)));
  looked = Object.keys(all).length;
  for (const scheme of schemes) await tour(browser, node, scheme, all);
} finally {
  await browser?.close();
  traffic.stop();
  node.stop();
}
done((faults) => `${looked} views in ${windows.length} widths and ${schemes.length} colour schemes, ${faults} faults; pictures are in ${out}`);
