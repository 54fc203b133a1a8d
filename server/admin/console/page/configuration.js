// The configuration in force: each key, where its value comes from, and what waits for a restart.
import { query, usePoll } from './api.js';
import { Badge, Command, Problem, Search, Table } from './parts.js';
import { change, href } from './route.js';
import { html, moment } from './view.js';

const value = (v) => {
  if (v === null || v === undefined) return html`<span class="dim">not shown</span>`;
  if (v === '' || (Array.isArray(v) && v.length === 0)) return html`<span class="dim">empty</span>`;
  return html`<code>${typeof v === 'string' ? v : JSON.stringify(v)}</code>`;
};

const columns = [
  { name: 'key', cell: (s) => html`<b>${s.key}</b>`, title: (s) => [s.env, s.flag].filter(Boolean).join(' or ') },
  { name: 'in force', cell: (s) => html`${value(s.value)}${s.unit ? ' ' + s.unit : ''}` },
  { name: 'from', cell: (s) => (s.source === 'default' ? html`<span class="dim">default</span>` : html`<${Badge} kind="good">${s.source}<//>${s.line && html`<br /><${Badge} kind="warn">${s.line}<//> says ${value(s.file)} in vain`}`) },
  { name: 'default', cell: (s) => (s.source === 'default' ? '' : value(s.default)) },
  { name: 'a change', cell: (s) => html`${s.live ? 'on reload' : html`<span class="dim">at the next start</span>`}${s.pending !== undefined && s.pending !== null && s.pending !== false && html` <${Badge} kind="warn">waits: ${JSON.stringify(s.pending)}<//>`}` },
  { name: 'meaning', wide: true, cell: (s) => html`<span class="dim">${s.meaning}</span>` },
];

const changes = [
  { name: 'when', cell: (c) => moment(Date.parse(c.at)) },
  { name: 'key', cell: (c) => html`<b>${c.key}</b>` },
  { name: 'was', cell: (c) => value(c.from) },
  { name: 'is', cell: (c) => html`${value(c.to)}${!c.live && html` <${Badge} kind="warn">at the next start<//>`}` },
];

// Reading says whether what is in force is what the file says now, and what has changed.
function Reading({ of }) {
  const waits = of.settings.some((s) => s.pending !== undefined && s.pending !== null);
  const vain = of.settings.filter((s) => s.line).length;
  return html`${of.fault && html`<div class="problem" role="alert"><b>What was read ${moment(Date.parse(of.readAt))} was not taken</b>, and what stood before is in force: ${of.fault}</div>`}
    ${!of.fault && of.readAt && html`<p class="dim" role="status">Read again ${moment(Date.parse(of.readAt))}: ${waits ? 'some of it waits for a restart.' : 'all of it is in force.'}</p>`}
    ${vain > 0 && html`<p role="status"><${Badge} kind="warn">${vain}<//> ${vain === 1 ? 'key of the file has' : 'keys of the file have'} no effect: the environment or a flag says otherwise (<a href=${href('configuration', '', { only: 'differs' })}>show</a>).</p>`}
    ${of.changes.length > 0 && html`<section class="card"><h2>What has changed since the start</h2>
      <${Table} label="changes" columns=${changes} rows=${of.changes} keyOf=${(c) => c.at + c.key + JSON.stringify(c.from)} /></section>`}`;
}

export function Configuration({ route }) {
  const { search = '', only = '' } = route.ask;
  const { data, error } = usePoll(query('/configz', { search, only, limit: 1000 }), 5000);
  return html`<h1>Configuration</h1>
    <div class="bar"><${Search} label="search keys and meanings" value=${search} onChange=${(v) => change(route, { search: v })} />
      <label class="inline">show <select value=${only} onChange=${(e) => change(route, { only: e.target.value })}>
        <option value="">all keys</option><option value="set">what was set</option><option value="live">what a reload changes</option><option value="pending">what waits for a restart</option><option value="differs">what differs from the file</option></select></label>
      ${data && html`<span class="dim" role="status">${data.matched} of ${data.total} keys</span>`}</div>
    <${Problem} error=${error} />
    ${data && html`<${Reading} of=${data} />`}
    ${data && html`<${Table} label="configuration" columns=${columns} rows=${data.settings} keyOf=${(s) => s.key} empty="No key is like this." />`}
    <${Command} words=${['mb-server', '--check']} />`;
}
