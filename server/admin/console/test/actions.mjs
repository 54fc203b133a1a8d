// Does on the console what can be done there, and holds what comes of it to what clients of the node
// see: signing in, what each role is shown, kick, mute, unsubscribe, a publish, a request, the live
// tail, explain, keys, and a node that is restarted under the page.
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { out, startNode, until } from './node.mjs';
import { done, fault, patience, says, withPage } from './page.mjs';

const sha256 = (text) => createHash('sha256').update(text).digest('hex');

// Clients say nobody who they are, and may do what clients do. Of those who look, the operator may do
// all, the other one only look at numbers and names.
const everything = { publish: { allow: ['#'] }, subscribe: { allow: ['#'] }, request: { allow: ['#'] }, respond: { allow: ['#'] } };
const configuration = {
  auth: { required: false, tokens: ['operator', 'viewer'].map((identity) => ({ identity, sha256: sha256(identity), roles: [identity] })) },
  permissions: { roles: { client: everything, operator: { ...everything, system: ['*'] }, viewer: { system: ['metrics', 'connection', 'service.list', 'topic.list'] } }, anonymous: ['client'] },
};

const holds = (what, is) => is || fault(what);

const comes = (what, f) => until(what, async () => f()).catch(() => fault(what));
const press = (page, name) => page.getByRole('button', { name, exact: true }).first().click({ timeout: patience });

// act presses a button, fills in what its dialog asks for, and means it.
async function act(page, name, fields = {}) {
  await press(page, name);
  const dialog = page.getByRole('dialog', { name, exact: true });
  for (const [label, value] of Object.entries(fields)) await dialog.getByLabel(label).fill(String(value));
  await dialog.getByRole('button', { name, exact: true }).click({ timeout: patience });
}

async function signIn(page, node, token) {
  await page.goto(node.base + '/');
  const field = page.getByLabel('Token');
  await press(page, 'Sign in'); // who has no credentials is shown what he may see
  await field.fill(token, { timeout: patience });
  await press(page, 'Sign in');
}

// Of these each gets the page, the node, and a function that adds a client.
const tries = {
  async 'signing in'(page, node) {
    await signIn(page, node, 'wrong');
    await says(page, /not valid/, 'a wrong token');
    await signIn(page, node, 'operator');
    await says(page, /Nothing is wrong\.|critical|warning|notice/, 'the operator');
  },

  async kick(page, node, add) {
    const got = [];
    const victim = add((m) => got.push(m)).register('victim', 'is kicked');
    let closed = false;
    victim.socket.on('close', () => (closed = true));
    await page.goto(node.base + '/#/connections?search=victim');
    await page.getByRole('link', { name: 'victim', exact: true }).click({ timeout: patience });
    await press(page, 'Kick');
    await page.getByRole('dialog', { name: 'Kick', exact: true }).getByRole('button', { name: 'Cancel' }).click();
    holds('who is asked and says no has kicked', !closed);
    await act(page, 'Kick');
    await comes('who is kicked is not closed', () => closed);
    holds('who is kicked is not told so', got.some((m) => m.payload.includes('an operator has closed this connection')));
    await says(page, /It is not connected any more/, 'kick');
  },

  async 'mute and unmute'(page, node, add) {
    const got = [];
    const loud = add((m) => got.push(m)).register('loud', 'is muted');
    add().subscribe('publish', 'noise.#');
    const answered = async (pattern, what) => {
      got.length = 0;
      await comes(what, () => {
        loud.send('publish', 'noise.x', '{}', '0b7a4b9e-58a5-4c6e-9c8b-3d1f5a2e7c11');
        return got.some((m) => m.topic === 'noise.x' && pattern.test(m.payload));
      });
    };
    await answered(/"subscribers":1/, 'its publishes do not pass at first');
    await page.goto(node.base + '/#/connections?search=loud');
    await page.getByRole('link', { name: 'loud', exact: true }).click({ timeout: patience });
    await act(page, 'Mute', { 'for seconds': 600 });
    await answered(/"code":"(FORBIDDEN|RATE_LIMIT_EXCEEDED)"/, 'who is muted is heard');
    await act(page, 'Unmute');
    await answered(/"subscribers":1/, 'who is unmuted is not heard');
  },

  async unsubscribe(page, node, add) {
    const got = [];
    add((m) => got.push(m)).register('reader', 'reads news').subscribe('publish', 'news.#', 'weather.#');
    const press_ = add();
    await page.goto(node.base + '/#/connections?search=reader');
    await page.getByRole('link', { name: 'reader', exact: true }).click({ timeout: patience });
    await says(page, /Subscriptions \(2\)/, 'before');
    const row = page.locator('tr', { hasText: 'news.#' });
    await row.getByRole('button', { name: 'Unsubscribe', exact: true }).click({ timeout: patience });
    await row.getByRole('dialog').getByRole('button', { name: 'Unsubscribe', exact: true }).click({ timeout: patience });
    await says(page, /Subscriptions \(1\)/, 'unsubscribe');
    await comes('its subscriber is not told', () => got.some((m) => m.topic === 'system.topic.revoked'));
    press_.send('publish', 'news.today', 'no');
    press_.send('publish', 'weather.today', 'yes');
    await comes('what it is subscribed to still does not come', () => got.some((m) => m.topic === 'weather.today'));
    holds('what it was unsubscribed from comes', !got.some((m) => m.topic === 'news.today'));
  },

  async 'a publish'(page, node, add) {
    const got = [];
    add((m) => got.push(m)).subscribe('publish', 'gates.#');
    await page.goto(node.base + '/#/topics');
    await page.getByLabel('topic', { exact: true }).fill('gates.b12');
    await page.getByLabel('payload', { exact: true }).fill('{"open":true}');
    await press(page, 'Publish');
    await says(page, /"subscribers": 1/, 'a publish');
    await comes('its subscriber gets something else', () => got.some((m) => m.topic === 'gates.b12' && m.payload === '{"open":true}'));
  },

  async 'a request'(page, node, add) {
    const service = add((m) => m.action === 'request' && m.topic === 'add' && service.send('response', m.topic, { sum: 3 }, m.id));
    service.subscribe('request', 'add', 'never');
    await page.goto(node.base + '/#/services');
    await page.getByLabel('topic', { exact: true }).fill('add');
    await press(page, 'Request');
    await says(page, /"sum": 3/, 'a request');
    await page.getByLabel('topic', { exact: true }).fill('never');
    await page.getByLabel('wait at most (ms)').fill('50');
    await press(page, 'Request');
    await says(page, /TIMEOUT/, 'a request that nobody answers');
    await page.getByLabel('topic', { exact: true }).fill('nobody');
    await press(page, 'Request');
    await says(page, /NO_ROUTE_FOUND/, 'a request that nobody serves');
  },

  async 'the live tail'(page, node, add) {
    const speaker = add();
    add().subscribe('publish', 'tail.#');
    await page.goto(node.base + '/#/tail?topic=tail.%23');
    const spoken = async (text) => {
      await comes('what passes is not shown: ' + text, async () => {
        speaker.send('publish', 'tail.x', `{"say":"${text}"}`);
        return (await page.evaluate(() => document.body.innerText)).includes(`"say": "${text}"`);
      });
    };
    await spoken('one');
    await press(page, 'Pause');
    await page.getByText(', paused').waitFor({ timeout: patience });
    await page.waitForTimeout(300); // what came before the pause
    speaker.send('publish', 'tail.x', '{"say":"two"}');
    await page.waitForTimeout(600);
    holds('what passes during a pause is shown', !(await page.evaluate(() => document.body.innerText)).includes('"two"'));
    const counted = async (when) => {
      const [said, shown] = await page.evaluate(() => [
        document.querySelector('main [role=status]').innerText.match(/^(\d+) of (\d+) shown/)?.slice(1).map(Number),
        document.querySelectorAll('main [role=log] > div').length]);
      holds(`${when} ${shown} messages are shown, and said to be ${said}`, said?.[0] === shown && said[1] >= shown);
    };
    await counted('in a pause');
    await press(page, 'Go on');
    await spoken('three');
    await counted('after a pause');
    await page.locator('label.inline', { hasText: 'hex' }).locator('select').selectOption('hex');
    await says(page, /7b 22 73 61 79 22/, 'as hex');
  },

  async explain(page, node, add) {
    const id = '3f9f1f0e-8d0c-4a52-b0c0-1e8a5c7d2b44';
    add().register('subscriber', 'of the parcels').subscribe('publish', 'parcels.#');
    const sender = add();
    await page.waitForTimeout(200);
    sender.send('publish', 'parcels.new', '{}', id);
    await page.goto(node.base + '/#/explain');
    await page.getByLabel('its request ID').fill(id);
    await press(page, 'Explain');
    await says(page, /What became of it[^]*accepted[^]*matched[^]*delivered/, 'explain');
    for (const [identity, pattern] of [['operator', /What would become of it[^]*accepted[^]*delivered/], ['viewer', /What would become of it[^]*forbidden/]]) {
      await page.goto(`${node.base}/#/explain?topic=parcels.new&identity=${identity}`);
      await says(page, pattern, `whether ${identity} may publish`);
    }
  },

  async keys(page, node) {
    await page.goto(node.base + '/#/connections');
    await page.getByRole('searchbox').waitFor({ timeout: patience });
    await page.locator('body').click();
    await page.keyboard.press('/');
    holds('/ does not lead to the search', await page.evaluate(() => document.activeElement.type === 'search'));
  },

  async 'who may not'(page, node, add) {
    add().register('silent', 'wants nothing');
    add().register('listener', 'wants songs').subscribe('publish', 'songs.#');
    await page.goto(node.base + '/#/overview');
    await press(page, 'Sign out');
    await signIn(page, node, 'viewer');
    await says(page, /requests\s+outstanding/, 'the viewer');
    const text = await page.evaluate(() => document.body.innerText);
    for (const absent of ['Live tail', 'Explain', 'Logs', 'Drain']) holds(`the viewer is shown ${absent}`, !text.includes(absent));
    await page.goto(node.base + '/#/services');
    await says(page, /what it does/, 'services');
    holds('the viewer may try a request', await page.getByRole('button', { name: 'Request', exact: true }).count() === 0);
    for (const [name, pattern] of [['silent', /Subscriptions \(0\)[^]*It is subscribed to nothing\./], ['listener', /Subscriptions \(1\)[^]*songs\.#/]]) {
      await page.goto(node.base + '/#/connections?search=' + name);
      await page.getByRole('link', { name, exact: true }).click({ timeout: patience });
      await says(page, pattern, name);
      holds('the viewer may kick', await page.getByRole('button', { name: 'Kick', exact: true }).count() === 0);
    }
    for (const path of ['kick', 'mute', 'unsubscribe', 'drain', 'publish', 'request']) {
      const answer = await fetch(`${node.base}/${path}`, { method: 'POST', headers: { Authorization: 'Bearer viewer', 'Content-Type': 'application/json' }, body: JSON.stringify(['publish', 'request'].includes(path) ? { topic: 'a.b', payload: '' } : {}) });
      holds(`POST /${path} of the viewer: ${answer.status}`, answer.status === 403);
    }
  },

  async 'a restart'(page, node) {
    await page.goto(node.base + '/#/connections');
    await says(page, /errors \/s/, 'before');
    node.stop();
    await node.ended;
    await says(page, /node not reached, trying again/, 'while it is away');
    Object.assign(node, await startNode([], [], node.ports));
    await page.waitForFunction(() => !document.body.innerText.includes('node not reached'), null, { timeout: 3 * patience })
      .catch(() => fault('the page does not find the node again'));
  },
};

mkdirSync(out, { recursive: true });
process.env.CONFIG_PATH = out + '/actions.yaml';
writeFileSync(process.env.CONFIG_PATH, JSON.stringify(configuration)); // which is YAML, too
const node = await startNode(['explain.sample=1']);
await withPage(node, async (page, add) => {
  for (const [name, f] of Object.entries(tries)) await f(page, node, add).catch((err) => fault(`${name}: ${err.message.split('\n').slice(0, 3).join(' ')}`));
});
done((faults) => `${Object.keys(tries).length} things done, ${faults} faults`);
