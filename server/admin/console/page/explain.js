// What became of a message, or what would become of one, as a path.
import { useState } from './vendor/hooks.js';
import { query, usePoll } from './api.js';
import { Badge, Command, Problem } from './parts.js';
import { change, href } from './route.js';
import { clock, html, short } from './view.js';

const kinds = {
  accepted: 'good', matched: 'good', delivered: 'good', answered: 'good', queued: 'warn', conflated: 'warn',
  limited: 'bad', forbidden: 'bad', unrouted: 'bad', dropped: 'bad', expired: 'bad', evicted: 'bad', revoked: 'bad',
};

// useNames is what services call themselves, by ID, for who may know.
function useNames(me, wanted) {
  const { data } = usePoll(wanted && me.words.includes('service.list') ? '/servicez?limit=1000' : null, 0);
  return Object.fromEntries((data?.services || []).map((s) => [s.id, s.name]));
}

function Stop({ s, from, first, dry, me, names }) {
  const at = Date.parse(s.at);
  const who = s.serviceId && (me.words.includes('connection')
    ? html` <a href=${href('connections', s.serviceId)} title=${s.serviceId}>${names[s.serviceId] || short(s.serviceId)}</a>` : html` <code title=${s.serviceId}>${names[s.serviceId] || short(s.serviceId)}</code>`);
  return html`<li class=${kinds[s.stop] || ''}><b>${s.stop}</b>${who}${s.reason && html` <${Badge} kind=${kinds[s.stop] || ''}>${s.reason}<//>`}
    ${s.pattern && html` by <code>${s.pattern}</code>`}${s.more > 0 && html` and ${s.more} more`}${s.nodeId && html` on <code>${short(s.nodeId)}</code>`}
    ${!dry && html`<span class="dim"> ${first ? clock(at) : `+${at - from} ms`}</span>`}</li>`;
}

function Path({ data, dry, me }) {
  const names = useNames(me, data.found);
  if (!data.found) {
    return html`<p>Nothing is known of this message. It was not looked at, is more than a minute old, or is not yours to see. Which messages are looked at: <code>docs/explain.md</code>.</p>`;
  }
  const from = data.stops.length ? Date.parse(data.stops[0].at) : 0;
  return html`<h2>${dry ? 'What would become of it' : 'What became of it'}</h2>
    <ol class="path">${data.stops.map((s, i) => html`<${Stop} key=${i} s=${s} from=${from} first=${i === 0} dry=${dry} me=${me} names=${names} />`)}</ol>`;
}

export function Explain({ route, me }) {
  const { id = '', topic = '', action = 'publish', identity = '', bytes = '' } = route.ask;
  const [form, setForm] = useState({ id, topic, action, identity, bytes });
  const asked = id ? { requestId: id } : topic ? { topic, action, identity, payloadBytes: bytes } : null;
  const { data, error } = usePoll(asked && query('/explainz', asked), 0);
  const field = (name) => ({ value: form[name], onInput: (e) => setForm({ ...form, [name]: e.target.value }) });
  const submit = (values) => (e) => {
    e.preventDefault();
    change({ ...route, ask: {} }, values);
  };
  return html`<h1>Explain</h1><div class="grid">
    <section class="card"><h2>What became of a message</h2><form onSubmit=${submit({ id: form.id.trim() })}>
      <label>its request ID <input class="search" ...${field('id')} placeholder="6ad9f2d0-3b7c-…" spellcheck=${false} /></label>
      <p><button type="submit" class="main" disabled=${!form.id.trim()}>Explain</button></p></form></section>
    <section class="card"><h2>What would become of one</h2><form onSubmit=${submit({ topic: form.topic.trim(), action: form.action, identity: form.identity.trim(), bytes: form.bytes })}>
      <label>topic <input ...${field('topic')} placeholder="orders.created" spellcheck=${false} /></label>
      <label>action <select value=${form.action} onChange=${(e) => setForm({ ...form, action: e.target.value })}><option>publish</option><option>request</option></select></label>
      ${me.words.includes('admin') && html`<label>sent by (identity) <input ...${field('identity')} placeholder="you" spellcheck=${false} /></label>`}
      <label>bytes of payload <input type="number" min="0" ...${field('bytes')} /></label>
      <p><button type="submit" class="main" disabled=${!form.topic.trim()}>Try without sending</button></p></form></section></div>
    <${Problem} error=${error} />
    ${data && asked && html`<section class="card"><${Path} data=${data} dry=${!id} me=${me} /></section>`}
    <${Command} words=${id ? ['mb', 'explain', id, ...me.flags] : ['mb', 'explain', '--topic', topic || 'TOPIC', '--action', action, ...me.flags]} />`;
}
