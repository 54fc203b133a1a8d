// Messages of a pattern as they pass, as many a second as the node shows.
import { useEffect, useRef, useState } from './vendor/hooks.js';
import { query, useStream } from './api.js';
import { Badge, Command, Problem, Search, useBottom } from './parts.js';
import { change, href } from './route.js';
import { clock, count, html, short } from './view.js';

const kept = 500; // messages on the page

const none = { passed: 0, missed: 0 };

const texts = {
  json: (m) => (m.encoding === 'json' ? JSON.stringify(m.payload, null, 1) : text(m)),
  text,
  hex: (m) => [...raw(m)].map((b) => b.toString(16).padStart(2, '0')).join(' '),
};

function raw(m) {
  if (m.encoding === 'base64') return Uint8Array.from(atob(m.payload), (c) => c.charCodeAt(0));
  return new TextEncoder().encode(text(m));
}

function text(m) {
  if (m.encoding === 'base64') return new TextDecoder().decode(raw(m));
  return typeof m.payload === 'string' && m.encoding === 'text' ? m.payload : JSON.stringify(m.payload);
}

function Message({ m, form }) {
  return html`<div><span class="dim">${clock(m.at)}</span> <${Badge}>${m.action}<//> <b>${m.topic}</b>
    ${m.from && html` <a href=${href('connections', m.from)} title=${m.from}>${short(m.from)}</a>`}
    ${m.subscribers !== undefined && html` <span class="dim">to ${count(m.subscribers)}</span>`}
    ${m.requestId && html` <a class="dim" href=${href('explain', '', { id: m.requestId })}>explain</a>`}
    ${'\n'}${m.hidden ? html`<span class="dim">${m.bytes} bytes, hidden: your roles do not read this topic</span>` : html`<span class="code">${texts[form](m)}${m.cut ? ' …' : ''}</span>`}</div>`;
}

export function Tail({ route, me }) {
  const { topic = '#', action = '', rate = '20', form = 'json' } = route.ask;
  const [paused, setPaused] = useState(false);
  const [list, setList] = useState([]);
  const [shown, setShown] = useState(0);
  // What has passed is told once a second, of this stream; before it, of others of the same topic.
  const [counts, setCounts] = useState(none);
  const before = useRef(none);
  const [ended, setEnded] = useState('');
  const path = paused ? null : query('/stream/messages', { topic, action, rate });
  const box = useBottom(list);
  const waiting = useRef([]);
  const passed = Math.max(counts.passed, shown); // what is shown may be ahead
  useEffect(() => {
    before.current = { passed, missed: counts.missed };
  }, [path]);
  useEffect(() => {
    setList([]);
    setEnded('');
    setShown(0);
    setCounts(none);
    before.current = none;
  }, [topic, action]);
  // Drawn four times a second: a person reads no faster.
  useEffect(() => {
    const timer = setInterval(() => {
      if (!waiting.current.length) return;
      const some = waiting.current.splice(0);
      setList((old) => [...old, ...some].slice(-kept));
      setShown((n) => n + some.length);
    }, 250);
    return () => clearInterval(timer);
  }, []);
  const error = useStream(path, (name, data) => {
    if (name === 'message') waiting.current.push({ ...data, key: (waiting.serial = (waiting.serial || 0) + 1) });
    else if (name === 'count') setCounts({ passed: before.current.passed + data.passed, missed: before.current.missed + data.missed });
    else if (name === 'end') setEnded(data.reason);
  });
  const set = (values) => change(route, values);
  return html`<h1>Live tail</h1>
    <div class="bar">
      <${Search} label="pattern, such as orders.#" value=${topic} onChange=${(v) => set({ topic: v || '#' })} />
      <label class="inline">action <select value=${action} onChange=${(e) => set({ action: e.target.value })}>
        <option value="">all</option>${['publish', 'request', 'response'].map((a) => html`<option>${a}</option>`)}</select></label>
      <label class="inline">at most <select value=${rate} onChange=${(e) => set({ rate: e.target.value })}>
        ${['5', '20', '50', '100'].map((n) => html`<option value=${n}>${n}/s</option>`)}</select></label>
      <label class="inline">as <select value=${form} onChange=${(e) => set({ form: e.target.value })}>
        ${Object.keys(texts).map((n) => html`<option>${n}</option>`)}</select></label>
      <button type="button" onClick=${() => setPaused(!paused)}>${paused ? 'Go on' : 'Pause'}</button>
      <button type="button" onClick=${() => setList([])}>Clear</button>
    </div>
    <${Problem} error=${error} what="messages" />
    ${ended && html`<p class="problem">The node ended this: ${ended}.</p>`}
    <p class="dim" role="status">${count(shown)} of ${count(passed)} shown${counts.missed > 0 ? `, ${count(counts.missed)} not, because this page reads too slowly` : ''}${paused ? ', paused' : ''}</p>
    <div class="card lines" ref=${box} tabindex="0" role="log" aria-label="messages" aria-live="off">
      ${list.map((m) => html`<${Message} key=${m.key} m=${m} form=${form} />`)}
      ${list.length === 0 && html`<p class="dim">No message has passed yet.</p>`}
    </div>
    <${Command} words=${['mb', 'sub', topic, ...me.flags]} />`;
}
