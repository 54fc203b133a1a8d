// Asks the console what whoever runs a node asks, as somebody who has never seen it: from the first
// page, by what can be read and clicked, in three steps at the most. A step is a click, a choice or a
// field that is filled in. Fails where the answer does not show; pictures of the answers are beside
// those of the views. The node has flights, services, and troubles of which the questions are.
import { mkdirSync } from 'node:fs';
import { out, startNode } from './node.mjs';
import { done, fault, patience, says, withPage } from './page.mjs';
import { settings, start, troubled } from './traffic.mjs';

const steps = 3;

// By what is asked: what somebody does, and what he reads then.
const questions = [
  { ask: 'Who is slow?', does: [], reads: [/slow subscriber/, /messages wait in its ring/, /mb connections --filter dashboard/] },
  { ask: 'Why is my request not answered?', does: [], reads: [/requests unserved/, /requests were on a topic that no service is subscribed to\s+seats\.upgrade/] },
  { ask: 'Which clients were refused, and why?', does: [], reads: [/refused \(origin\)/, /newcomers were refused: origin/] },
  { ask: 'From where did they come?', does: [['link', 'who, in the log']], reads: [/refused a connection of a web page[^]*remote=127\.0\.0\.1:\d+[^]*origin=https:\/\/stranger\.example/] },
  { ask: 'What do I do about it?', does: [['link', 'More, in the runbook', 'slow subscriber']], reads: [/subscribers lose messages[^]*look at[^]*cause[^]*what to do\s+one: mend it/] },
  { ask: 'Why did this not arrive?', does: [['link', 'Explain'], ['field', 'topic', 'seats.sold'], ['button', 'Try without sending']], reads: [/What would become of it/, /unrouted/] },
  { ask: 'What would happen if I drain this node?', does: [['button', 'Drain']], reads: [/connections are told to go/] },
  { ask: 'Which service is the slowest, and how much waits for it?', does: [['link', 'Services'], ['column', 'p99']], reads: [/serves\s+outstanding\s+of[^]*?billing\s+writes invoices\s+requests\s+4\s+4/] },
  { ask: 'Who sends the most?', does: [['link', 'Connections'], ['column', 'in /s']], reads: [/errors \/s\s+airline/] },
  { ask: 'Is the node near its limit of memory, and who holds it?', does: [['link', 'Connections'], ['column', 'backlog']], first: [/memory\s+[\d.]+ [KM]iB\s+of \d/], reads: [/errors \/s\s+dashboard/] },
  { ask: 'What is the configuration, and does the file say the same?', does: [['link', 'Configuration'], ['choice', 'show', 'what was set']], reads: [/rate\.limit\.topic\.per\.service/, /flag --set/] },
  { ask: 'Is the cluster whole?', does: [['link', 'Cluster']], reads: [/This node is alone/] },
  { ask: 'Who is this, and what may it do?', does: [['link', 'Connections'], ['link', 'dashboard']], reads: [/identity\s+none/, /may do\s+everything: this node asks nobody who he is/, /flights\.#\s+publish/, /its ring was more than three quarters full/] },
  { ask: 'Who gets what is published on orders?', does: [['link', 'Topics'], ['row', 'orders'], ['link', /1 listen/, 'orders.#']], reads: [/Who is subscribed to orders\.#/, /warehouse/] },
  { ask: 'Who gets what is published on flights, and who sends it?', does: [['link', 'Live tail'], ['field', 'pattern, such as orders.#', 'flights.#'], ['link', /^[0-9a-f]{8}$/, 'flights.']], reads: [/registered as airline/] },
  { ask: 'Why did the kiosk go?', does: [['link', 'Logs'], ['field', 'search these lines', 'kiosk'], ['link', /^[0-9a-f]{8}-[0-9a-f-]{27}$/, 'disconnected: kiosk']], reads: [/It is not connected\.[^]*closed: its peer ended the stream[^]*registered as kiosk/] },
  { ask: 'Who may publish on orders?', does: [['link', 'Configuration'], ['field', 'search keys and meanings', 'permissions.roles']], reads: [/permissions\.roles\s+\{\}[^]*no role: all is allowed/] },
  { ask: 'Is this node full?', does: [], reads: [/connections\s+\d+\s+of \d[^]*requests outstanding\s+\d+[^]*memory\s+[\d.]+ [KM]iB\s+of \d[^]*loops busy\s+\d+ %/] },
  { ask: 'Since when does it run, and which version is it?', does: [], reads: [/MB Server Node [0-9a-f]{8} \d+\.\d+/, /up \d.* since 20\d\d-\d\d-\d\d/] },
  { ask: 'Is it slow in the node or in a service?', does: [], reads: [/From arrival to socket\s+p50 [\d.]+ .?s\s*p99 [\d.]+ [^]*Answers of services\s+p50 [\d.]+ /] },
  { ask: 'Which topics have the most traffic?', does: [['link', 'Topics']], reads: [/flights\s+\d patterns\s+[\d.]+k?\/s published/] },
];

async function step(page, [what, name, value]) {
  switch (what) {
    case 'link':
      return (value ? page.locator('li, article, .lines > div', { hasText: value }).last() : page).getByRole('link', typeof name === 'string' ? { name, exact: true } : { name }).first().click({ timeout: patience });
    case 'button':
      return page.getByRole('button', { name, exact: true }).first().click({ timeout: patience });
    case 'row':
      return page.locator('summary', { hasText: name }).first().click({ timeout: patience });
    case 'column':
      return page.locator('th button', { hasText: name }).first().click({ timeout: patience });
    case 'field': {
      const field = page.getByLabel(name, { exact: true });
      await field.fill(value, { timeout: patience });
      // What is searched for stands in the address a moment later, and what is found moves then.
      if (await field.getAttribute('type') === 'search') await page.waitForFunction((v) => location.hash.includes(v), encodeURIComponent(value), { timeout: patience });
      return undefined;
    }
    default:
      return page.getByLabel(name).selectOption({ label: value }, { timeout: patience });
  }
}

async function answer(page, node, { ask, does, first = [], reads }) {
  if (does.length > steps) fault(`${ask} ${does.length} steps`);
  await page.goto('about:blank');
  await page.goto(node.base + '/');
  try {
    for (const pattern of first) await says(page, pattern, ask);
    for (const one of does) await step(page, one);
    for (const pattern of reads) await says(page, pattern, ask);
  } catch (err) {
    fault(`${ask} ${err.message.split('\n')[0]}`);
  }
  await page.screenshot({ path: `${out}/question-${questions.findIndex((q) => q.ask === ask) + 1}.png` });
}

const node = await startNode(settings);
const traffic = start(node);
mkdirSync(out, { recursive: true });
await withPage(node, async (page) => {
  await troubled(node);
  for (const q of questions) await answer(page, node, q);
});
traffic.stop();
done((faults) => `${questions.length} questions, ${faults} without their answer`);
