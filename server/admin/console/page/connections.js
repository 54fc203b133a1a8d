// Who is connected, and all that is known of one connection.
import { query, usePoll } from './api.js';
import { Action, Badge, Command, Facts, Pages, Problem, Search, Table } from './parts.js';
import { change, href } from './route.js';
import { bytes, count, exact, html, moment, short, span } from './view.js';

const limit = 50;

const age = (at, from) => span(Math.max(0, Date.parse(from) - Date.parse(at)));
const states = (c) => (c.states || []).map((s) => html`<${Badge} kind=${s === 'draining' ? '' : 'warn'} key=${s}>${s}<//>`);
const nameOf = (c) => c.name || c.identity || short(c.id);

// orders are the tool's words for what both it and the node sort by.
const orders = {
  dropped: 'dropped', backlogBytes: 'backlog', queued: 'queued', outstanding: 'outstanding', age: 'age', idle: 'idle', name: 'name', transport: 'transport',
};

const columns = (at) => [
  { name: 'connection', sort: 'name', cell: (c) => html`<a href=${href('connections', c.id)}>${nameOf(c)}</a> ${states(c)}`, title: (c) => c.id },
  { name: 'identity', sort: 'identity', cell: (c) => c.identity || html`<span class="dim">none</span>` },
  { name: 'address', sort: 'remote', code: true, cell: (c) => c.remote },
  { name: 'over', sort: 'transport', cell: (c) => c.transport },
  { name: 'age', sort: 'age', number: true, cell: (c) => age(c.connectedAt, at), title: (c) => c.connectedAt },
  { name: 'in /s', sort: 'receivedRate', number: true, cell: (c) => count(c.receivedRate), title: (c) => exact(c.received) + ' messages' },
  { name: 'out /s', sort: 'sentRate', number: true, cell: (c) => count(c.sentRate), title: (c) => exact(c.sent) + ' messages' },
  { name: 'dropped', sort: 'dropped', number: true, cell: (c) => html`<span class=${c.dropped > 0 ? 'bad' : ''}>${count(c.dropped)}</span>`, title: (c) => exact(c.dropped) },
  { name: 'backlog', sort: 'backlogBytes', number: true, cell: (c) => bytes(c.backlogBytes), title: (c) => exact(c.backlogMessages) + ' messages' },
  { name: 'outstanding', sort: 'outstanding', number: true, cell: (c) => count(c.outstanding) },
  { name: 'errors /s', sort: 'errorRate', number: true, cell: (c) => count(c.errorRate) },
];

export function Connections({ route, me }) {
  const { search = '', sort = 'dropped', state = '', offset = '0' } = route.ask;
  const { data, error } = usePoll(query('/connz', { search, sort, state, offset, limit }), 2000);
  const set = (values) => change(route, { offset: '', ...values });
  return html`<h1>Connections</h1>
    <div class="bar">
      <${Search} label="search ID, name, address, identity" value=${search} onChange=${(v) => set({ search: v })} />
      <label class="inline">state <select value=${state} onChange=${(e) => set({ state: e.target.value })}>
        <option value="">any</option>${['slow', 'unread', 'draining'].map((s) => html`<option>${s}</option>`)}</select></label>
      ${data && html`<span class="dim" role="status">${data.matched} of ${data.total}</span>`}
    </div>
    <${Problem} error=${error} />
    ${data && html`<${Table} label="connections" columns=${columns(data.at)} rows=${data.connections} sort=${sort} keyOf=${(c) => c.id}
      onSort=${(by) => set({ sort: by })} empty="No connection is like this." />
      <${Pages} offset=${Number(offset)} limit=${limit} total=${data.matched} onMove=${(to) => change(route, { offset: to || '' })} />`}
    <${Command} words=${['mb', 'connections', ...(orders[sort] ? ['--sort', orders[sort]] : []), ...(search ? ['--filter', search] : []), ...me.flags]} />`;
}

function Events({ id }) {
  const { data, error } = usePoll(query('/eventz', { id }), 3000);
  if (error?.status === 404) return null;
  return html`<section class="card"><h2>What it went through</h2><${Problem} error=${error} />
    ${data?.forgotten > 0 && html`<p class="dim">${count(data.forgotten)} events gave way to later ones.</p>`}
    ${data && html`<${Table} label="events" keyOf=${(e) => e.at + e.event + e.text} empty="Nothing."
      columns=${[
    { name: 'when', cell: (e) => moment(Date.parse(e.at)) },
    { name: 'what', cell: (e) => e.text },
    { name: 'times', number: true, cell: (e) => (e.count > 1 ? count(e.count) : '') },
    { name: 'until', cell: (e) => (e.ongoing ? html`<${Badge} kind="warn">goes on<//>` : e.until ? moment(Date.parse(e.until)) : '') },
  ]} rows=${[...data.events].reverse()} />`}</section>`;
}

function Actions({ c, again }) {
  const who = html`<code>${nameOf(c)}</code>`;
  return html`<p class="bar">
    <${Action} name="Kick" danger path="/kick" body=${(v) => ({ serviceId: c.id, ...(v.reason && { message: v.reason }) })} what=${html`${who} is told that it was kicked, and its connection is closed. It may come back.`} />
    <${Action} name="Mute" path="/mute" fields=${[{ name: 'seconds', label: 'for seconds', type: 'number', value: 60, min: 1 }]}
      body=${(v) => ({ serviceId: c.id, durationMs: Number(v.seconds) * 1000 })} onDone=${again} what=${html`What ${who} sends is refused for a time. It goes on to receive.`} />
    <${Action} name="Unmute" path="/mute" body=${() => ({ serviceId: c.id, durationMs: 0 })} onDone=${again} what=${html`What ${who} sends passes again.`} />
  </p>`;
}

function Subscriptions({ c, me, again }) {
  if (!c.subscriptions) return null;
  return html`<section class="card"><h2>Subscriptions (${c.subscriptionCount})</h2>
    <${Table} label="subscriptions" keyOf=${(s) => s.action + s.topic} rows=${c.subscriptions} empty="It is subscribed to nothing."
      columns=${[
    { name: 'topic', cell: (s) => html`<a href=${href('topics', '', { pattern: s.topic, action: s.action })}>${s.topic}</a>` },
    { name: 'for', cell: (s) => s.action },
    { name: 'priority', number: true, cell: (s) => s.priority ?? '' },
    { name: 'when full', cell: (s) => (s.overflow || '') + (s.conflate ? ' conflate' : '') },
    me.operator && { name: 'action', cell: (s) => html`<${Action} name="Unsubscribe" path="/unsubscribe" onDone=${again}
      body=${() => ({ serviceId: c.id, topic: s.topic, action: s.action })} what=${html`Its subscription to <code>${s.topic}</code> ends, and it is told so.`} />` },
  ]} /></section>`;
}

// mayDo says what a connection may do, as far as whoever looks may know.
function mayDo({ required, known, anonymous, roles }, me) {
  if (required) return null;
  if (roles) return roles.length > 0 ? 'what its roles allow: ' + roles.join(', ') : 'nothing: it has no role';
  if (!known && !anonymous) return 'everything: this node asks nobody who he is';
  return me.words.includes('admin') ? 'everything: there are no roles' : null;
}

export function Connection({ route, me }) {
  const { data: c, error, again } = usePoll('/connz/' + encodeURIComponent(route.id), 2000);
  const missing = error?.status === 404;
  return html`<p><a href=${href('connections')}>‹ Connections</a></p>
    <h1>${c ? nameOf(c) : short(route.id)} ${c && states(c)}</h1>
    ${missing ? html`<p class="problem">It is not connected${c ? ' any more' : ''}.</p>` : html`<${Problem} error=${error} />`}
    ${c && !missing && me.operator && html`<${Actions} c=${c} again=${again} />`}
    ${c && html`<section class="card"><${Facts} of=${[
    ['ID', html`<code>${c.id}</code>`],
    ['identity', c.identity || 'none'],
    ['address', c.remote],
    ['over', `${c.transport}, loop ${c.loop}`],
    ['connected', `${moment(Date.parse(c.connectedAt))}, ${age(c.connectedAt, c.at)} ago`],
    ['last sign of life', age(c.lastSeen, c.at) + ' ago'],
    ['description', c.description],
    ['metadata', c.metadata && Object.entries(c.metadata).map(([k, v]) => `${k}=${v}`).join(', ')],
    ['in', `${count(c.receivedRate)}/s, ${bytes(c.receivedBytesRate)}/s`, `${exact(c.received)} messages, ${exact(c.receivedBytes)} bytes`],
    ['out', `${count(c.sentRate)}/s, ${bytes(c.sentBytesRate)}/s`, `${exact(c.sent)} messages, ${exact(c.sentBytes)} bytes`],
    ['dropped', count(c.dropped), exact(c.dropped)],
    ['waits for it', `${count(c.ring.messages)} of ${count(c.ring.limitMessages)} messages, ${bytes(c.ring.bytes)} of ${bytes(c.ring.limitBytes)}`],
    ['publishers wait for it', c.ring.awaited ? 'yes' : null],
    ['not read, because of', c.paused && c.paused.reasons.join(', ') + (c.paused.topic ? ` (${c.paused.topic})` : '')],
    ['lost, not told yet', c.gap && `${count(c.gap.lost)}, conflated ${count(c.gap.conflated)}, since ${moment(Date.parse(c.gap.since))}`],
    ['requests outstanding', c.outstanding + (c.maxConcurrent ? ' of ' + c.maxConcurrent : '')],
    ['its requests that wait', c.queued],
    ['answers it has not read', c.answersOwed || null],
    ['credentials', c.standing.required ? 'it has yet to say who it is' : c.standing.anonymous ? 'anonymous' : c.standing.known ? 'known' + (c.standing.expiresAt ? `, until ${moment(Date.parse(c.standing.expiresAt))}` : '') : 'none'],
    ['may do', mayDo(c.standing, me)],
    ['rate limit of its roles', c.standing.rateLimit ? c.standing.rateLimit + '/s' : null],
    ['memory', `${bytes(c.memory.chargedBytes)} for what waits, ${bytes(c.memory.rememberedBytes)} remembered`],
  ]} /></section>
    <${Subscriptions} c=${c} me=${me} again=${again} />`}
    <${Events} id=${route.id} />
    <${Command} words=${['mb', 'subscriptions', '--service', route.id, ...me.flags]} />`;
}
