// Who answers requests, how busy each is, and a request to try.
import { useState } from './vendor/hooks.js';
import { post, query, usePoll } from './api.js';
import { Command, Pages, Problem, Search, Table } from './parts.js';
import { change, href } from './route.js';
import { count, exact, html, short, span } from './view.js';

const limit = 50;

const answered = (s) => `${exact(s.answers)} requests in the last half a minute to a minute, from their arrival to the answer`;

const room = (s) => (s.maxConcurrent > 0 ? s.outstanding / s.maxConcurrent : undefined);

// How long answers take; of requests that timed out, how long they were waited for.
const times = [
  { name: 'p50', sort: 'answerP50Ms', number: true, cell: (s) => (s.answers ? span(s.answerP50Ms) : '–'), title: answered },
  { name: 'p99', sort: 'answerP99Ms', number: true, cell: (s) => (s.answers ? span(s.answerP99Ms) : '–'), title: answered },
  { name: 'answers', sort: 'answers', number: true, cell: (s) => count(s.answers), title: answered },
];

const columns = (me) => [
  { name: 'service', sort: 'name', cell: (s) => (me.words.includes('connection') ? html`<a href=${href('connections', s.id)}>${s.name || short(s.id)}</a>` : s.name || short(s.id)), title: (s) => s.id },
  { name: 'what it does', wide: true, cell: (s) => s.description || html`<span class="dim">–</span>` },
  { name: 'serves', cell: (s) => (s.serves ? 'requests' : html`<span class="dim">nothing</span>`) },
  { name: 'outstanding', sort: 'outstanding', number: true, cell: (s) => count(s.outstanding) },
  { name: 'of', number: true, cell: (s) => s.maxConcurrent || '∞' },
  { name: 'full', number: true, cell: (s) => (room(s) === undefined ? '' : html`<meter min="0" max="1" low=".7" high=".99" optimum="0" value=${room(s)} aria-label="part of what it takes"></meter>`) },
  ...(me.words.includes('connection') ? times : []),
  { name: 'its own wait', sort: 'queued', number: true, cell: (s) => count(s.queued) },
  { name: 'errors /s', sort: 'errorRate', number: true, cell: (s) => html`<span class=${s.errorRate > 0 ? 'bad' : ''}>${count(s.errorRate)}</span>` },
  { name: 'out /s', sort: me.words.includes('connection') ? 'sentRate' : undefined, number: true, cell: (s) => count(s.sentRate) },
  { name: 'in /s', sort: me.words.includes('connection') ? 'receivedRate' : undefined, number: true, cell: (s) => count(s.receivedRate) },
];

// Try sends a request, or a publish, as who looks at the page.
export function Try({ action, topic: suggested = '' }) {
  const [topic, setTopic] = useState(suggested);
  const [payload, setPayload] = useState('{}');
  const [timeout, setTimeout_] = useState('5000');
  const [busy, setBusy] = useState(false);
  const [answer, setAnswer] = useState(null);
  const [error, setError] = useState(null);
  const send = async (e) => {
    e.preventDefault();
    setBusy(true);
    setAnswer(null);
    setError(null);
    try {
      setAnswer(await post('/' + action, { topic: topic.trim(), payload, ...(action === 'request' && { timeoutMs: Number(timeout) }) }));
    } catch (err) {
      setError(err);
    }
    setBusy(false);
  };
  return html`<section class="card"><h2>${action === 'request' ? 'Try a request' : 'Publish'}</h2><form onSubmit=${send}>
    <label>topic <input required value=${topic} onInput=${(e) => setTopic(e.target.value)} placeholder="orders.create" spellcheck=${false} /></label>
    <label>payload <textarea value=${payload} onInput=${(e) => setPayload(e.target.value)} spellcheck=${false}></textarea></label>
    ${action === 'request' && html`<label>wait at most (ms) <input type="number" min="1" value=${timeout} onInput=${(e) => setTimeout_(e.target.value)} /></label>`}
    <p><button type="submit" class="main" disabled=${busy}>${busy ? 'waiting …' : action === 'request' ? 'Request' : 'Publish'}</button></p>
  </form>
  <${Problem} error=${error} />
  ${error?.code && html`<pre>${error.code} ${JSON.stringify(error.details, null, 1)}</pre>`}
  ${answer && html`<p class="dim" role="status">after ${span(answer.ms)}${answer.requestId && html`, <a href=${href('explain', '', { id: answer.requestId })}>explain</a>`}</p>
    <pre class="answer">${typeof answer.payload === 'string' ? answer.payload : JSON.stringify(answer.payload, null, 2)}</pre>`}
  </section>`;
}

export function Services({ route, me }) {
  const { search = '', sort = 'outstanding', offset = '0' } = route.ask;
  const { data, error } = usePoll(query('/servicez', { search, sort, offset, limit }), 2000);
  const set = (values) => change(route, { offset: '', ...values });
  return html`<h1>Services</h1>
    <div class="bar"><${Search} label="search name or ID" value=${search} onChange=${(v) => set({ search: v })} />
      ${data && html`<span class="dim" role="status">${data.matched} registered, or answering requests</span>`}</div>
    <${Problem} error=${error} />
    ${data && html`<${Table} label="services" columns=${columns(me)} rows=${data.services} sort=${sort} keyOf=${(s) => s.id}
      onSort=${(by) => set({ sort: by })} empty="No service is like this." />
      <${Pages} offset=${Number(offset)} limit=${limit} total=${data.matched} onMove=${(to) => change(route, { offset: to || '' })} />`}
    ${me.requests && html`<${Try} action="request" />`}
    <${Command} words=${['mb', 'services', ...me.flags]} />`;
}
