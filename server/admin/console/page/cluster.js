// The nodes of the cluster: how they reach each other, and what was lost between them.
import { usePoll } from './api.js';
import { Badge, Command, Facts, Problem, Table } from './parts.js';
import { bytes, count, html, moment, short, span } from './view.js';

const kinds = { live: 'good', joining: 'warn', gone: 'bad' };

const columns = [
  { name: 'node', cell: (p) => html`<b>${p.name}</b> <span class="dim">${short(p.id)}</span>`, title: (p) => p.id },
  { name: 'state', cell: (p) => html`<${Badge} kind=${kinds[p.state]}>${p.state}<//>${p.draining && html`<${Badge} kind="warn">draining<//>`}` },
  { name: 'since', cell: (p) => moment(Date.parse(p.since)) },
  { name: 'version', cell: (p) => p.version },
  { name: 'round trip', number: true, cell: (p) => (p.rttMs > 0 ? span(p.rttMs) : '–') },
  { name: 'connections', number: true, cell: (p) => count(p.connections) },
  { name: 'patterns', number: true, cell: (p) => count(p.patterns) },
  { name: 'sent', number: true, cell: (p) => count(p.sent) },
  { name: 'received', number: true, cell: (p) => count(p.received) },
  { name: 'lost', number: true, cell: (p) => html`<span class=${p.lost + p.dropped > 0 ? 'bad' : ''}>${count(p.lost + p.dropped)}</span>`, title: (p) => `${p.lost} of it that did not arrive, ${p.dropped} for it that did not leave` },
];

export function Cluster({ me }) {
  const { data, error } = usePoll('/clusterz', 1000);
  return html`<h1>Cluster</h1><${Problem} error=${error} />
    ${data?.alone && html`<p>This node is alone: <code>cluster.urls</code> names no NATS server.</p>`}
    ${data?.island && html`<p class="problem">NATS does not answer: this node goes on alone, and what would have crossed is lost.</p>`}
    ${data && !data.alone && html`<section class="card"><${Facts} of=${[
    ['lost between nodes', count(data.lost)], ['waits for NATS', bytes(data.waiting)], ['version of what this node wants', data.interest],
  ]} /></section>
    <${Table} label="nodes" columns=${columns} rows=${data.peers} keyOf=${(p) => p.id} empty="No other node has been heard." />`}
    <${Command} words=${['mb', 'nodes', ...me.flags]} />`;
}
