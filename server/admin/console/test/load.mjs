// What the console costs a node that is busy, and whether it is of use where thousands are connected.
// Measured, not judged: node load.mjs (after make build, with Chromium; Linux). PAIRS=0
// leaves out the first part, CROWD=0 the second.
//
// load: 300,000 deliveries a second (10,000 messages to 30 subscribers), of `mb bench`, to a node on one
// processor while load and browser share the other. Pairs of runs in turn, with the overview and the
// live tail open of that node, and of another with next to no load: so the browser has as much to do in
// both, or what it takes from the load's clients would change how a node's writes gather. Of each the
// node's CPU time for a delivery, and the p99 of probes: a message of this test's own every 20 ms, until
// its subscriber has it. Beside them what the load's own clients have seen.
// crowd: so many connections, and how long the connections view takes from the click to its rows.
import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { root, startNode } from './node.mjs';
import { launch } from './page.mjs';
import { Client } from './traffic.mjs';

const given = (name, value) => Number(process.env[name] ?? value);
const pairs = given('PAIRS', 5);
const seconds = given('SECONDS', 4);
const crowd = given('CROWD', 18000);
const rate = given('RATE', 10000);
const subscribers = given('SUBSCRIBERS', 30);
const mb = process.env.MB || root + 'bin/mb';
const run = promisify(execFile);
const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
const settings = ['loops=1', 'logging.level=warn', 'admin.operator=true', 'connection.max.concurrent=30000'];
const onCore = (n) => ['taskset', '-c', String(n)];

// cpu is the CPU time in ms that a process has taken, as the scheduler counts it, of all its threads.
function cpu(pid) {
  const words = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(words[11]) + Number(words[12])) * 10; // in ticks of 10 ms
}

const quantile = (list, q) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * q))];

// probe measures how long messages take until end(), which returns the times in ms.
function probe(node) {
  const times = [];
  const sentAt = new Map();
  const subscriber = new Client(node.tcp, (m) => m.topic === 'probe.x' && times.push(performance.now() - sentAt.get(m.payload)));
  subscriber.subscribe('publish', 'probe.#');
  const publisher = new Client(node.tcp);
  let n = 0;
  const timer = setInterval(() => {
    sentAt.set(String(++n), performance.now());
    publisher.send('publish', 'probe.x', String(n));
  }, 20);
  return async () => {
    clearInterval(timer);
    await sleep(200);
    [subscriber, publisher].forEach((c) => c.socket.destroy());
    return times;
  };
}

async function measure(node, seconds) {
  const server = `tcp://127.0.0.1:${node.tcp}`;
  const words = ['bench', '--json', '--quiet', '--server', server, '--publishers', '1', '--subscribers', String(subscribers), '--rate', String(rate), '--topic', 'load.x', '--duration', seconds + 's'];
  const end = probe(node);
  const before = cpu(node.pid);
  const { stdout } = await run(mb, words);
  const used = cpu(node.pid) - before;
  const probes = await end();
  const r = JSON.parse(stdout);
  return { cpuNs: used * 1e6 / r.delivered, rate: r.deliveredRate, lost: r.dropped + r.missing, p99: quantile(probes, 0.99), probes: probes.length, clients: r.p99Ms };
}

async function load(browser) {
  const [node, other] = [await startNode(settings, onCore(0)), await startNode(settings, onCore(1))];
  const little = new Client(other.tcp);
  const timer = setInterval(() => little.send('publish', 'load.x', 'x'.repeat(128)), 5);
  new Client(other.tcp).subscribe('publish', 'load.#');
  await measure(node, 1); // what happens once
  const ratios = [];
  const all = { with: [], without: [] };
  for (let pair = 0; pair < pairs; pair++) {
    const of = {};
    for (const open of pair % 2 ? [true, false] : [false, true]) {
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
      for (const view of ['overview', 'tail?topic=load.%23&rate=100']) {
        const page = await context.newPage();
        await page.goto(`${(open ? node : other).base}/#/${view}`);
        await page.waitForSelector('h1');
        if (await page.evaluate(() => document.hidden)) throw new Error('a page is hidden: it asks nothing');
      }
      await sleep(500);
      const m = of[open ? 'with' : 'without'] = await measure(node, seconds);
      const told = await context.pages()[1].evaluate(() => document.querySelector('[role=status]').innerText);
      console.log(`${open ? 'open   ' : 'without'}: ${m.rate.toFixed(0)} deliveries/s, ${m.lost} lost, ${m.cpuNs.toFixed(0)} ns of CPU each, probes p99 ${m.p99.toFixed(2)} ms of ${m.probes}, clients p99 ${m.clients.toFixed(2)} ms; the tail: ${told}`);
      await context.close();
    }
    ratios.push(of.with.cpuNs / of.without.cpuNs);
    for (const k of ['with', 'without']) all[k].push(of[k]);
  }
  const median = (k, what) => quantile(all[k].map((m) => m[what]), 0.5).toFixed(2);
  console.log(`CPU with the page against without: ${ratios.map((r) => r.toFixed(3)).join(' ')}, median ${quantile(ratios, 0.5).toFixed(3)}; probes p99, medians: ${median('with', 'p99')} ms with, ${median('without', 'p99')} ms without`);
  clearInterval(timer);
  [node, other].forEach((n) => n.stop());
}

async function many(browser) {
  // With so little memory fewer may be in the door at a time, and the descriptors are for those who are in.
  const node = await startNode([...settings, 'memory.limit=134217728']);
  const clients = spawn(mb, ['bench', '--quiet', '--server', `tcp://127.0.0.1:${node.tcp}`, '--publishers', '1', '--subscribers', String(crowd), '--rate', '1', '--duration', '600s'], { stdio: ['ignore', 'ignore', 'inherit'] });
  process.once('exit', () => clients.kill('SIGKILL'));
  const list = async (query = '') => (await fetch(node.base + '/connz?limit=1' + query)).json();
  while ((await list()).total <= crowd) await sleep(250);
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
  // share is what the node takes of a processor, in per cent.
  const share = async () => {
    const [from, at] = [cpu(node.pid), performance.now()];
    await sleep(6000);
    return ((cpu(node.pid) - from) / (performance.now() - at) * 100).toFixed(1);
  };
  await page.goto('about:blank');
  const alone = await share();
  await page.goto(node.base + '/#/overview');
  await page.waitForSelector('.tile');
  // timed returns how long it takes from act until the node's answer to what contains words is drawn.
  const timed = async (what, words, act, shows) => {
    const from = performance.now();
    const answer = page.waitForResponse((r) => r.url().includes('/connz') && words.every((w) => r.url().includes(w)));
    await act();
    await (await answer).finished();
    await page.waitForFunction(shows, null, { polling: 'raf' });
    console.log(`${what}: ${(performance.now() - from).toFixed(0)} ms`);
  };
  const rows = () => document.querySelectorAll('tbody tr').length >= 50;
  await timed('connections, from the click until rows show', [], () => page.getByRole('link', { name: 'Connections', exact: true }).click(), rows);
  for (const [name, sort] of [['age', 'age'], ['out /s', 'sentRate'], ['address', 'remote'], ['backlog', 'backlogBytes']]) {
    await timed(`sorted by ${name}`, ['sort=' + sort], () => page.locator('th button', { hasText: name }).click(), rows);
  }
  const one = (await list('&sort=age')).connections[0];
  const found = () => document.querySelectorAll('tbody tr').length === 1;
  await timed('searched for an ID (a pause of 250 ms in it)', ['search='], () => page.getByRole('searchbox').fill(one.id), found);
  await timed('the search given up', ['connz'], () => page.getByRole('searchbox').fill(''), rows);
  await timed('the next page', ['offset=50'], () => page.getByRole('button', { name: 'next ›' }).click(), rows);
  console.log(`the node takes ${await share()} % of a processor while the view stands open, ${alone} % without; ${(await list()).total} connections, to each a message a second`);
  clients.kill('SIGKILL');
  node.stop();
}

// Browser and load are on the second processor: what they take is not the node's.
execFile('taskset', ['-cp', '1', String(process.pid)]);
await sleep(200);
const browser = await launch();
try {
  if (pairs > 0) await load(browser);
  if (crowd > 0) await many(browser);
} finally {
  await browser.close();
}
process.exit(0);
