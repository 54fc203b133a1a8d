// What is wrong with the node now, the worst first, and what to do about it.
import { usePoll } from './api.js';
import { Badge, Command, Problem } from './parts.js';
import { href } from './route.js';
import { clock, html, moment, short, span } from './view.js';

const kinds = { critical: 'bad', warning: 'warn', notice: '' };

// lines are those of the tool for what is not about one connection or topic.
const lines = {
  fault: ['log', '--level', 'error'], stuck: ['top'], turns_long: ['top'], log_loses: ['top'], certificate: ['info'],
  memory: ['connections', '--sort', 'backlog'], connections_cut: ['connections', '--sort', 'backlog'],
  connections_near_limit: ['connections', '--sort', 'age', '--reverse'],
  isolated: ['nodes'], node_gone: ['nodes'], node_slow: ['nodes'], nodes_lose: ['nodes'],
  refused: ['log', '--level', 'warn,error', '--regex', 'refused'], handshakes_failed: ['log', '--level', 'warn,error'],
  wrong_credentials: ['log', '--level', 'warn,error', '--regex', 'credentials'], lockout: ['log', '--level', 'warn,error', '--regex', 'locked out'],
  requests_evicted: ['connections', '--sort', 'outstanding'], requests_timed_out: ['connections', '--sort', 'outstanding'], requests_unserved: ['subscriptions'],
  messages_forbidden: ['log', '--level', 'debug,info,warn,error', '--regex', 'client error'],
  draining: ['drain', '--cancel'],
};

// command is the line of the tool that shows whom a trouble is about, or where that is to be seen.
function command(t, me) {
  if (t.topic) return ['mb', 'subscriptions', '--topic', t.topic, ...me.flags];
  if (t.id) return ['mb', 'connections', '--filter', t.name || t.id, ...me.flags];
  if (t.kind === 'draining') return ['mb', ...lines.draining, ...(location.host === '127.0.0.1:3002' ? [] : ['--admin', location.host])];
  return ['mb', ...(lines[t.kind] || ['connections']), ...me.flags];
}

// atDoor are those of whom only the log knows who they were.
const atDoor = ['refused', 'handshakes_failed', 'wrong_credentials', 'lockout'];

// toTopic leads from a request's topic to who would get it.
const toTopic = (topic, me) => (me.words.includes('explain') ? href('explain', '', { topic, action: 'request' }) : href('topics', '', { pattern: topic, action: 'request' }));

function Trouble({ t, me }) {
  return html`<article class=${'trouble ' + (t.severity === 'critical' ? 'bad' : '')}>
    <h2>${t.kind.replaceAll('_', ' ')}${t.cause && html` <span class="dim">(${t.cause})</span>`} <${Badge} kind=${kinds[t.severity]}>${t.severity}<//></h2>
    <p>${t.why}${t.id && html` <a href=${href('connections', t.id)} title=${t.id}>${t.name || t.identity || short(t.id)}</a>`}${t.remote && html` <span class="dim">${t.remote}</span>`}
      ${t.topic && html` <a href=${toTopic(t.topic, me)}>${t.topic}</a>`}
      ${atDoor.includes(t.kind) && me.words.includes('log') && html` <a href=${href('logs', '', { module: 'door', q: t.cause || '' })}>who, in the log</a>`}</p>
    <p class="dim">since ${span(t.seconds * 1000)} (<time datetime=${t.since} title=${moment(Date.parse(t.since))}>${clock(Date.parse(t.since))}</time>). What to do: ${t.do}. <a href=${href('runbook', t.see.split('#')[1])} title=${t.see}>More, in the runbook</a></p>
    <${Command} words=${command(t, me)} />
  </article>`;
}

export function Troubles({ me }) {
  const { data, error } = usePoll('/troublez', 1000);
  return html`<section aria-label="what is wrong now">
    <${Problem} error=${error} what="what is wrong now" />
    ${data && data.troubles.length === 0 && html`<p class="fine" role="status">Nothing is wrong. <a href=${href('runbook')}>What may be, and what to do then</a></p>`}
    <div class="troubles">${data?.troubles.map((t) => html`<${Trouble} key=${[t.kind, t.cause, t.id, t.topic, t.remote].join('|')} t=${t} me=${me} />`)}</div>
    ${data?.more?.map((m) => html`<p class="dim" key=${m.kind}>and ${m.count} more of ${m.kind.replaceAll('_', ' ')}</p>`)}
  </section>`;
}
