// Asks the console what whoever runs a node asks, as somebody who has never seen it: from the first
// page, by what can be read and clicked, in three steps at the most. A step is a click, a choice or a
// field that is filled in. Fails where the answer does not show; pictures of the answers are beside
// those of the views. The node has flights, services, and troubles of which the questions are.
import { mkdirSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { chromiumPath, out, startNode, until } from './node.mjs';
import { settings, start } from './traffic.mjs';

const steps = 3;
const patience = 10000;

// By what is asked: what somebody does, and what he reads then.
const questions = [
  { ask: 'Who is slow?', does: [], reads: [/slow subscriber/, /messages wait in its ring/, /mb connections --filter dashboard/] },
  { ask: 'Why is my request not answered?', does: [], reads: [/requests unserved/, /requests were on a topic that no service is subscribed to\s+seats\.upgrade/] },
  { ask: 'Which clients were refused, and why?', does: [], reads: [/refused \(origin\)/, /newcomers were refused: origin/] },
  { ask: 'From where did they come?', does: [['link', 'who, in the log']], reads: [/refused a connection of a web page[^]*remote=127\.0\.0\.1:\d+[^]*origin=https:\/\/stranger\.example/] },
  { ask: 'Why did this not arrive?', does: [['link', 'Explain'], ['field', 'topic', 'seats.sold'], ['button', 'Try without sending']], reads: [/What would become of it/, /unrouted/] },
  { ask: 'What would happen if I drain this node?', does: [['button', 'Drain']], reads: [/connections are told to go/] },
  { ask: 'Which service is the slowest, and how much waits for it?', does: [['link', 'Services'], ['column', 'p99']], reads: [/serves\s+outstanding\s+of[^]*?billing\s+writes invoices\s+requests\s+4\s+4/] },
  { ask: 'Who sends the most?', does: [['link', 'Connections'], ['column', 'in /s']], reads: [/errors \/s\s+airline/] },
  { ask: 'Is the node near its limit of memory, and who holds it?', does: [['link', 'Connections'], ['column', 'backlog']], first: [/memory\s+[\d.]+ [KM]iB\s+of \d/], reads: [/errors \/s\s+dashboard/] },
  { ask: 'What is the configuration, and does the file say the same?', does: [['link', 'Configuration'], ['choice', 'show', 'what was set']], reads: [/rate\.limit\.topic\.per\.service/, /flag --set/] },
  { ask: 'Is the cluster whole?', does: [['link', 'Cluster']], reads: [/This node is alone/] },
  { ask: 'Who is this, and what may it do?', does: [['link', 'Connections'], ['link', 'dashboard']], reads: [/identity\s+none/, /may do\s+everything: this node asks nobody who he is/, /flights\.#\s+publish/, /its ring was more than three quarters full/] },
  { ask: 'Who gets what is published on orders?', does: [['link', 'Topics'], ['row', 'orders'], ['link', /1 listen/, 'orders.#']], reads: [/Who is subscribed to orders\.#/, /warehouse/] },
];

const faults = [];
const fault = (text) => {
  faults.push(text);
  console.error('FAULT ' + text);
};

async function step(page, [what, name, value]) {
  switch (what) {
    case 'link':
      return (value ? page.locator('li', { hasText: value }).last() : page).getByRole('link', typeof name === 'string' ? { name, exact: true } : { name }).first().click({ timeout: patience });
    case 'button':
      return page.getByRole('button', { name, exact: true }).first().click({ timeout: patience });
    case 'row':
      return page.locator('summary', { hasText: name }).first().click({ timeout: patience });
    case 'column':
      return page.locator('th button', { hasText: name }).first().click({ timeout: patience });
    case 'field':
      return page.getByLabel(name, { exact: true }).fill(value, { timeout: patience });
    default:
      return page.getByLabel(name).selectOption({ label: value }, { timeout: patience });
  }
}

// shows waits until the page's text has what is read.
const shows = (page, pattern) => page.waitForFunction(([source]) => new RegExp(source).test(document.body.innerText), [pattern.source], { timeout: patience, polling: 100 });

async function answer(page, node, { ask, does, first = [], reads }) {
  if (does.length > steps) fault(`${ask} ${does.length} steps`);
  await page.goto('about:blank');
  await page.goto(node.base + '/');
  try {
    for (const pattern of first) await shows(page, pattern);
    for (const one of does) await step(page, one);
    for (const pattern of reads) {
      await shows(page, pattern).catch(async () => fault(`${ask} The page does not say ${pattern}, but: ${(await page.evaluate(() => document.body.innerText)).slice(0, 3000)}`));
    }
  } catch (err) {
    fault(`${ask} ${err.message.split('\n')[0]}`);
  }
  await page.screenshot({ path: `${out}/question-${questions.findIndex((q) => q.ask === ask) + 1}.png` });
}

const node = await startNode(settings);
const traffic = start(node);
let browser;
try {
  mkdirSync(out, { recursive: true });
  const kinds = ['slow_subscriber', 'limited_client', 'saturated_service', 'requests_unserved', 'refused'];
  await until('the troubles', async () => {
    const { troubles } = await (await fetch(node.base + '/troublez')).json();
    return kinds.every((kind) => troubles.some((t) => t.kind === kind));
  });
  browser = await chromium.launch({ executablePath: chromiumPath, args: ['--no-sandbox'] });
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: 'reduce' })).newPage();
  page.on('pageerror', (e) => fault(e.message));
  for (const q of questions) await answer(page, node, q);
} finally {
  await browser?.close();
  traffic.stop();
  node.stop();
}
console.log(`${questions.length} questions, ${faults.length} without their answer`);
process.exit(faults.length > 0 ? 1 : 0);
