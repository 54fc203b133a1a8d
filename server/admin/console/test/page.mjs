// A browser that looks at a node, and what is found wrong by it.
import { chromium } from 'playwright-core';
import { chromiumPath } from './node.mjs';
import { Client } from './traffic.mjs';

// patience bounds, in ms, every wait for something that must happen.
export const patience = 10000;

const faults = [];
export function fault(text) {
  faults.push(text);
  console.error('FAULT ' + text);
}

// done ends the test: line says of how many faults what was done.
export function done(line) {
  console.log(line(faults.length));
  process.exit(faults.length > 0 ? 1 : 0);
}

export const launch = () => chromium.launch({ executablePath: chromiumPath, args: ['--no-sandbox'] });

// withPage calls f with a page, and with what adds a client of the node that gets its messages. In
// the end nothing of it is left, the node neither.
export async function withPage(node, f) {
  const clients = [];
  const add = (onMessage) => {
    const c = new Client(node.tcp, onMessage);
    clients.push(c);
    return c;
  };
  let browser;
  try {
    browser = await launch();
    const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: 'reduce' })).newPage();
    page.on('pageerror', (e) => fault(e.message));
    await f(page, add);
  } finally {
    await browser?.close();
    clients.forEach((c) => c.socket.destroy());
    node.stop();
  }
}

// says waits until the page's text has a pattern; what says of what it is a fault when it has not.
export async function says(page, pattern, what) {
  const has = ([source]) => new RegExp(source).test(document.body.innerText);
  await page.waitForFunction(has, [pattern.source], { timeout: patience, polling: 50 })
    .catch(async () => fault(`${what}: the page does not say ${pattern}, but: ${(await page.evaluate(() => document.body.innerText)).slice(0, 3000)}`));
}
