// The patterns that somebody is subscribed to, as a tree, and who that is.
import { useState } from './vendor/hooks.js';
import { query, usePoll } from './api.js';
import { Badge, Command, Problem, Search, Table } from './parts.js';
import { change, href } from './route.js';
import { Try } from './services.js';
import { count, html, short } from './view.js';

// Rate is how many messages a second there are on what a row stands for.
function Rate({ of, inside }) {
  const parts = [[of.publishRate, 'published'], [of.requestRate, 'requested']].filter(([n]) => n > 0);
  if (parts.length === 0) return null;
  return html`<span class="rate" title=${'messages a second on topics that it matches' + (inside ? ', or that are below it' : '')}>${parts.map(([n, what]) => html`<b>${count(n)}</b>/s ${what} `)}</span>`;
}

function Row({ row, route }) {
  const [open, setOpen] = useState(false);
  const inside = row.patterns > row.publish + row.request || row.patterns > 2;
  const name = row.topic;
  const link = (action) => href('topics', '', { ...route.ask, pattern: name, action });
  const label = html`<b>${name}</b>
    ${row.publish > 0 && html` <a href=${link('publish')}><${Badge}>${count(row.publish)} listen<//></a>`}
    ${row.request > 0 && html` <a href=${link('request')}><${Badge}>${count(row.request)} answer<//></a>`}
    ${inside && html` <span class="dim">${count(row.patterns)} ${row.patterns === 1 ? 'pattern' : 'patterns'}</span>`}
    <${Rate} of=${row} inside=${inside} />`;
  if (!inside) return html`<li>${label}</li>`;
  return html`<li><details onToggle=${(e) => e.target === e.currentTarget && setOpen(e.currentTarget.open)}><summary>${label}</summary>
    ${open && html`<${Level} prefix=${name} route=${route} />`}</details></li>`;
}

function Level({ prefix, route }) {
  const { search = '' } = route.ask;
  const [after, setAfter] = useState('');
  const { data, error } = usePoll(query('/topicz', { prefix, search, after, limit: 200 }), 2000);
  if (!data) return html`<${Problem} error=${error} />`;
  const rows = data.topics.filter((row) => row.topic !== prefix);
  return html`<${Problem} error=${error} /><ul>${rows.map((row) => html`<${Row} key=${row.topic} row=${row} route=${route} />`)}</ul>
    ${rows.length === 0 && prefix === '' && html`<p class="dim">Nobody is subscribed to anything like this.</p>`}
    ${(data.more || after) && html`<p class="pages">${after && html`<button type="button" class="small" onClick=${() => setAfter('')}>first</button>`}
      ${data.more && html`<button type="button" class="small" onClick=${() => setAfter(data.next)}>more</button>`}</p>`}`;
}

function Subscribers({ pattern, action, me }) {
  const { data, error } = usePoll(query('/topicz', { pattern, action, limit: 200 }), 2000);
  const elsewhere = (s) => s.nodeId && s.nodeId !== me.nodeId;
  return html`<section class="card"><h2>${action === 'request' ? 'Who answers requests on' : 'Who is subscribed to'} <code>${pattern}</code>${data && html` <span class="dim">(${data.matched})</span>`}</h2>
    <${Problem} error=${error} />
    ${data && html`<${Table} label="subscribers" rows=${data.subscribers} keyOf=${(s) => s.id ?? s.nodeId} empty="Nobody." columns=${[
    { name: 'service', cell: (s) => (!s.id || elsewhere(s) ? s.name || short(s.id ?? '') || 'somebody' : me.words.includes('connection') ? html`<a href=${href('connections', s.id)}>${s.name || short(s.id)}</a>` : s.name || s.id), title: (s) => s.id },
    data.subscribers.some((s) => s.nodeId) && { name: 'node', cell: (s) => short(s.nodeId ?? ''), title: (s) => s.nodeId },
    action === 'request' && { name: 'priority', number: true, cell: (s) => s.priority ?? 0 },
  ]} />`}
    <p>${me.words.includes('message') && html`<a href=${href('tail', '', { topic: pattern })}>live tail</a> · `}
      ${me.words.includes('explain') && html`<a href=${href('explain', '', { topic: pattern, action })}>who would get it</a>`}</p></section>`;
}

export function Topics({ route, me }) {
  const { search = '', pattern = '', action = 'publish' } = route.ask;
  return html`<h1>Topics</h1>
    <div class="bar"><${Search} label="search patterns" value=${search} onChange=${(v) => change(route, { search: v })} /></div>
    <div class="grid">
      <section class="card tree" key=${search} aria-label="patterns"><${Level} prefix="" route=${route} /></section>
      <div>${pattern && html`<${Subscribers} key=${pattern + action} pattern=${pattern} action=${action} me=${me} />`}
        ${me.publishes && html`<${Try} key=${'try' + pattern} action="publish" topic=${/[*#]/.test(pattern) ? '' : pattern} />`}</div>
    </div>
    <${Command} words=${['mb', 'subscriptions', ...(search ? ['--filter', search] : []), ...me.flags]} />`;
}
