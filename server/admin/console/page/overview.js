// What is wrong now, and how the node is doing: its numbers of this second and of the last minutes.
import { useEffect, useState } from './vendor/hooks.js';
import { get, usePoll, useStream } from './api.js';
import { Chart } from './chart.js';
import { Drain } from './drain.js';
import { Command, Problem } from './parts.js';
import { href } from './route.js';
import { Troubles } from './troubles.js';
import { bytes, count, exact, html, moment, span } from './view.js';

const most = 900; // moments that are kept, a quarter of an hour

const ms = (seconds) => (seconds === null ? null : seconds * 1000);
const written = (v) => (v === null || v === undefined ? '–' : span(v));

// useMoments returns the node's last minutes, as a list for each of its numbers, and goes on with
// what it streams; now is the latest of all.
function useMoments() {
  const [series, setSeries] = useState(null);
  const [now, setNow] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    const stop = new AbortController();
    get('/history', stop.signal).then((h) => {
      setSeries(h.series);
      setError(null);
    }, (err) => stop.signal.aborted || setError(err));
    return () => stop.abort();
  }, []);
  const lost = useStream('/stream/metrics', (name, moment) => {
    if (name !== 'metrics') return;
    setNow(moment);
    setSeries((old) => {
      if (!old || old.at.at(-1) >= moment.at) return old;
      return Object.fromEntries(Object.entries(old).map(([key, values]) => [key, [...values, moment[key]].slice(-most)]));
    });
  });
  return { series, now, error: lost || error };
}

const rate = (m, key) => (m && m.seconds > 0 ? m[key] / m.seconds : null);

function Tile({ name, value, under, title, kind = '', full }) {
  return html`<div class="tile" title=${title}><small>${name}</small><b class=${kind}>${value}</b>
    ${full !== undefined && html`<meter min="0" max="1" low=".7" high=".9" optimum="0" value=${full} aria-label=${name + ' against its limit'}></meter>`}
    <small>${under || '\u00a0'}</small></div>`;
}

const part = (n, of) => (of > 0 ? Math.min(n / of, 1) : undefined);

function Tiles({ now }) {
  const { limits } = now;
  const lost = rate(now, 'lost');
  return html`<div class="tiles">
    <${Tile} name="in" value=${count(rate(now, 'in')) + '/s'} under=${bytes(rate(now, 'inBytes')) + '/s'} title=${exact(now.totals.in) + ' messages since the start'} />
    <${Tile} name="out" value=${count(rate(now, 'out')) + '/s'} under=${bytes(rate(now, 'outBytes')) + '/s'} title=${exact(now.totals.out) + ' messages since the start'} />
    <${Tile} name="lost" value=${count(lost) + '/s'} kind=${lost > 0 ? 'bad' : ''} under=${count(now.totals.lost) + ' in all'} title="deliveries that were not made because a subscriber was too slow; each was told" />
    <${Tile} name="connections" value=${count(now.connections)} full=${part(now.connections, limits.connections)} under=${limits.connections > 0 ? 'of ' + count(limits.connections) : 'no limit'} title=${exact(now.connections)} />
    <${Tile} name="requests outstanding" value=${count(now.outstanding)} full=${part(now.outstanding, limits.outstanding)} under=${count(now.queued) + ' wait for a service'} />
    <${Tile} name="memory" value=${bytes(now.memoryBytes)} full=${part(now.memoryBytes, limits.memoryBytes)} under=${limits.memoryBytes > 0 ? 'of ' + bytes(limits.memoryBytes) : bytes(now.process.memoryBytes) + ' resident'} title="what the node holds for messages and connections" />
    <${Tile} name="a turn of a loop, p99" value=${written(ms(now.turnP99))} under=${'p50 ' + written(ms(now.turnP50))} title="how long a loop was at it before it looked at its sockets again" />
    <${Tile} name="loops busy" value=${(now.busy * 100).toFixed(0) + ' %'} full=${now.busy} under=${now.process.cpu.toFixed(0) + ' % CPU'} />
  </div>`;
}

// Nodes are the others of the cluster, a tile for each.
function Nodes() {
  const { data } = usePoll('/clusterz', 2000);
  if (!data || data.alone) return null;
  return html`<section aria-label="other nodes"><h2>Other nodes</h2>
    ${data.island && html`<p class="problem">NATS does not answer: this node goes on alone.</p>`}
    ${data.peers.length === 0 && html`<p class="dim">None has been heard.</p>`}
    <div class="tiles">${data.peers.map((p) => html`<${Tile} key=${p.id} name=${p.name} title=${p.id} kind=${p.state === 'live' ? '' : 'bad'}
      value=${p.draining ? 'draining' : p.state} under=${html`${count(p.connections)} connections, ${p.rttMs > 0 ? span(p.rttMs) : '–'} away${p.lost + p.dropped > 0 && html`, <span class="bad">${count(p.lost + p.dropped)} lost</span>`}`} />`)}</div>
    <p><a href=${href('cluster')}>all of the cluster</a></p></section>`;
}

const perSecond = (series, key) => series[key].map((n, i) => (series.seconds[i] > 0 ? n / series.seconds[i] : null));
const aSecond = (v) => (v === null || v === undefined ? '–' : count(v) + '/s');

function Charts({ series, theme }) {
  const times = series.at.map((at) => at / 1000);
  const rates = (list) => list.map(([name, key, color]) => ({ name, color, values: perSecond(series, key), format: aSecond }));
  const levels = (list, format = count) => list.map(([name, key, color]) => ({ name, color, values: series[key], format }));
  const quantiles = (list) => list.map(([name, key, color]) => ({ name, color, values: series[key].map(ms), format: written }));
  const charts = [
    ['Messages', rates([['in', 'in', '--a'], ['out', 'out', '--b']])],
    ['Not delivered', rates([['lost', 'lost', '--c'], ['limited', 'limited', '--d'], ['no route', 'unroutedPublishes', '--a']])],
    ['Connections', levels([['connections', 'connections', '--a']])],
    ['Requests', levels([['outstanding', 'outstanding', '--a'], ['queued', 'queued', '--d']])],
    ['From arrival to socket', quantiles([['p50', 'publishP50', '--a'], ['p99', 'publishP99', '--d']])],
    ['Answers of services', quantiles([['p50', 'answerP50', '--a'], ['p99', 'answerP99', '--d']])],
    ['Turns of the loops', quantiles([['p50', 'turnP50', '--a'], ['p99', 'turnP99', '--d']])],
    ['Memory held', levels([['memory', 'memoryBytes', '--a']], bytes)],
  ];
  return html`<div class="grid">${charts.map(([title, list]) => html`<section class="card" key=${title}>
    <${Chart} title=${title} times=${times} series=${list} theme=${theme} /></section>`)}</div>`;
}

export function Overview({ may, me, theme }) {
  const { series, now, error } = useMoments();
  return html`<h1>Overview <small class="dim">up ${span(Math.max(0, Date.now() - me.started))}, since ${moment(me.started)}</small></h1>
    <${Troubles} me=${me} may=${may} />
    ${may('metrics') && html`
      <${Problem} error=${error} what="numbers" />
      ${now && html`<${Tiles} now=${now} />`}
      ${may('connection') && html`<${Nodes} />`}
      ${series && series.at.length > 0 && html`<${Charts} series=${series} theme=${theme} />`}`}
    ${me.operator && html`<section class="card"><h2>This node</h2>
      <${Drain} />
    </section>`}
    <${Command} words=${['mb', 'top', ...me.flags]} />`;
}
