// Traffic for the console to show: clients of all kinds over TCP, well and ill, until stop().
import { createConnection } from 'node:net';
import { randomUUID } from 'node:crypto';
import { get } from 'node:http';
import { until } from './node.mjs';

// Client speaks docs/protocol.md, as much of it as is needed here.
export class Client {
  constructor(port, onMessage = () => {}) {
    this.socket = createConnection({ port, host: '127.0.0.1' });
    this.socket.on('error', () => {}); // it was kicked
    let rest = Buffer.alloc(0);
    this.socket.on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
        const text = rest.toString('utf8', 4, 4 + rest.readUInt32BE(0));
        rest = rest.subarray(4 + rest.readUInt32BE(0));
        const end = text.indexOf('\n');
        const [action, topic, , id] = text.slice(0, end).split(':');
        if (action === 'request' && topic === 'system.heartbeat') this.send('response', topic, {});
        else onMessage({ action, topic, id, payload: text.slice(end + 1) });
      }
    });
  }

  send(action, topic, payload, id, timeoutMs) {
    const body = typeof payload === 'string' ? payload : JSON.stringify(payload);
    const message = Buffer.from(`${action}:${topic}:1.0.0${id ? ':' + id : ''}${timeoutMs ? '::' + timeoutMs : ''}\n${body}`);
    const head = Buffer.alloc(4);
    head.writeUInt32BE(message.length);
    if (!this.socket.destroyed) this.socket.write(Buffer.concat([head, message]));
  }

  ask(topic, payload, timeoutMs) {
    this.send('request', topic, payload, randomUUID(), timeoutMs);
  }

  register(name, description, more = {}) {
    this.ask('system.service.register', { name, description, ...more });
    return this;
  }

  subscribe(action, ...topics) {
    for (const topic of topics) this.ask('system.topic.subscribe', { action, topic });
    return this;
  }
}

const airports = ['sfo', 'lax', 'jfk', 'ord', 'atl', 'den', 'sea', 'bos'];
const pick = (list) => list[Math.floor(Math.random() * list.length)];

// answering is a service that answers after some time.
function answering(port, name, description, topic, ms, most) {
  const c = new Client(port, (m) => {
    if (m.action === 'request') setTimeout(() => c.send('response', m.topic, { ok: true }, m.id), ms * (0.5 + Math.random()));
  });
  return c.register(name, description, most && { maxConcurrent: most }).subscribe('request', topic);
}

// knock is a page of a strange origin that wants to come in.
export function knock(ws) {
  const upgrade = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'x3JJHMbDL1EzLkh9GBhXDw==', Origin: 'https://stranger.example' };
  get({ port: ws, host: '127.0.0.1', headers: { ...upgrade, Host: `localhost:${ws}` } }, (r) => r.resume()).on('error', () => {}).on('upgrade', (_, s) => s.destroy());
}

// troubled waits until a node has found what goes wrong in this traffic.
export async function troubled(node) {
  const kinds = ['slow_subscriber', 'limited_client', 'saturated_service', 'requests_unserved', 'refused'];
  await until('the troubles', async () => {
    const { troubles } = await (await fetch(node.base + '/troublez')).json();
    return kinds.every((kind) => troubles.some((t) => t.kind === kind));
  });
}

// Settings of the node on which all of this happens.
export const settings = [
  'admin.operator=true', 'explain.sample=1', 'rate.limit.topic.per.service.chatter.#=20', 'connection.outbound.bytes=1048576', 'message.payload.maxLength=65536',
];

export function start({ tcp, ws }) {
  const all = [];
  const add = (c) => (all.push(c), c);
  const timers = [];
  const every = (ms, f) => timers.push(setInterval(f, ms));
  for (const name of ['board-1', 'board-2', 'board-3']) add(new Client(tcp)).register(name, 'shows departures').subscribe('publish', 'flights.#', 'gates.+.changed');
  add(new Client(tcp)).register('late-alerts', 'tells passengers who wait').subscribe('publish', 'flights.+.+.late', 'orders.failed');
  add(new Client(tcp)).register('warehouse', 'keeps what has happened').subscribe('publish', 'orders.#', 'flights.sfo.#');
  add(answering(tcp, 'pricing', 'what a seat costs', 'prices.get', 3));
  add(answering(tcp, 'pricing', 'what a seat costs', 'prices.get', 3));
  add(answering(tcp, 'billing', 'writes invoices', 'invoices.create', 120, 4));

  const airline = add(new Client(tcp)).register('airline', 'publishes what flights do');
  every(10, () => {
    for (let i = 0; i < 12; i++) {
      const [from, to] = [pick(airports), pick(airports)];
      airline.send('publish', `flights.${from}.${to}.${pick(['late', 'ontime', 'ontime', 'early'])}`, { from, to, delay: Math.round(Math.random() * 90), remarks: 'x'.repeat(300) });
    }
    airline.send('publish', `gates.${pick(airports)}.changed`, { gate: 12 });
  });
  const shop = add(new Client(tcp)).register('shop', 'sells seats');
  every(20, () => {
    shop.ask('prices.get', { seat: '12A' });
    shop.send('publish', pick(['orders.new', 'orders.paid', 'orders.failed']), { total: 42.5 });
  });
  every(25, () => shop.ask('invoices.create', { order: 7 }));

  const kiosk = add(new Client(tcp)).register('kiosk', 'is switched off in the evening');
  setTimeout(() => kiosk.socket.end(), 700);

  // What goes wrong: one reads nothing, one speaks too much, one asks what nobody answers, and a
  // page of a stranger knocks.
  const stalled = add(new Client(tcp)).register('dashboard', 'was left open in a tab').subscribe('publish', 'flights.#', 'radar.#');
  setTimeout(() => stalled.socket.pause(), 300);
  // More than the system's buffers take between the two: they would be full after ten seconds otherwise.
  setTimeout(() => {
    for (let i = 0; i < 150; i++) airline.send('publish', 'radar.sweep', 'x'.repeat(60000));
  }, 600);
  every(5000, () => stalled.send('response', 'system.heartbeat', {})); // or it would be taken for dead
  const chatter = add(new Client(tcp)).register('chatter', 'a sensor that was set up in a hurry');
  every(10, () => chatter.send('publish', 'chatter.room1', {}));
  every(500, () => shop.ask('seats.upgrade', {}));
  every(900, () => knock(ws));
  return {
    stop() {
      timers.forEach(clearInterval);
      all.forEach((c) => c.socket.destroy());
    },
  };
}
