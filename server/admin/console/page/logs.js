// The lines of the node's log: the last ones of each of its parts, and then as they are written.
import { useEffect, useRef, useState } from './vendor/hooks.js';
import { query, useStream } from './api.js';
import { Command, Problem, Search, useBottom } from './parts.js';
import { change, href } from './route.js';
import { html } from './view.js';

const kept = 2000; // lines on the page

const levels = ['debug', 'info', 'warn', 'error'];

const kinds = { error: 'bad', warn: 'warn' };

const known = new Set(['time', 'timestamp', 'level', 'msg', 'message', 'module']);

// Rest is what a line says beside its text; whose it is leads there, be it connected or gone.
function Rest({ line, me }) {
  const values = Object.entries(line).filter(([k]) => !known.has(k) && k !== 'key');
  if (values.length === 0) return null;
  return html`<span class="dim"> ${values.map(([k, v]) => html`${k}=${k === 'serviceId' && me.words.includes('connection')
    ? html`<a href=${href('connections', v)}>${v}</a>` : typeof v === 'object' ? JSON.stringify(v) : v} `)}</span>`;
}

function Line({ line, me }) {
  const level = String(line.level || '').toLowerCase();
  const at = line.timestamp ?? line.time;
  return html`<div><span class="dim">${typeof at === 'number' ? new Date(at).toISOString().slice(11, 23) : String(at || '').slice(11, 23)}</span>
    <b class=${kinds[level] || 'dim'}> ${level} </b><span class="dim">${line.module || ''}</span> ${line.msg || line.message}
    <${Rest} line=${line} me=${me} /></div>`;
}

export function Logs({ route, me }) {
  const { level = 'info', module = '', q = '' } = route.ask;
  const [paused, setPaused] = useState(false);
  const [list, setList] = useState([]);
  const [missed, setMissed] = useState(0);
  const box = useBottom(list);
  const fresh = useRef([]); // lines that are not shown yet: they come in crowds
  const seen = useRef(new Set()); // whoever asks again is told again what was written last
  const serial = useRef(0);
  const error = useStream(paused ? null : query('/stream/logs', { level, module, past: true }), (name, data) => {
    if (name === 'count') setMissed(data.missed);
    const text = JSON.stringify(data);
    if (name !== 'log' || seen.current.has(text)) return;
    if (seen.current.size > 10 * kept) seen.current.clear();
    seen.current.add(text);
    if (fresh.current.push({ ...data, key: serial.current++ }) > 1) return;
    setTimeout(() => setList((old) => [...old, ...fresh.current.splice(0)].slice(-kept)), 100);
  });
  useEffect(() => { // what is on the page is of another question
    seen.current.clear();
    setList([]);
  }, [level, module]);
  const set = (values) => change(route, values);
  const wanted = q.toLowerCase();
  const shown = list.filter((l) => !wanted || JSON.stringify(l).toLowerCase().includes(wanted));
  return html`<h1>Logs</h1>
    <div class="bar">
      <${Search} label="search these lines" value=${q} onChange=${(v) => set({ q: v })} />
      <label class="inline">from level <select value=${level} onChange=${(e) => set({ level: e.target.value })}>
        ${levels.map((l) => html`<option>${l}</option>`)}</select></label>
      <label class="inline">module <input value=${module} placeholder="all" onChange=${(e) => set({ module: e.target.value.trim() })} /></label>
      <button type="button" onClick=${() => setPaused(!paused)}>${paused ? 'Go on' : 'Pause'}</button>
      <button type="button" onClick=${() => setList([])}>Clear</button>
    </div>
    <${Problem} error=${error} what="log" />
    ${missed > 0 && html`<p class="dim">${missed} lines were too many to show.</p>`}
    <div class="card lines code" ref=${box} tabindex="0" role="log" aria-label="log lines" aria-live="off">
      ${shown.map((l) => html`<${Line} key=${l.key} line=${l} me=${me} />`)}
      ${shown.length === 0 && html`<p class="dim">No line is like this.</p>`}
    </div>
    <${Command} words=${['mb', 'log', '--level', levels.slice(levels.indexOf(level)).join(), ...me.flags]} />`;
}
