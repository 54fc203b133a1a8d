// What is wrong with the node now, the worst first, and what to do about it.
import { usePoll } from './api.js';
import { Badge, Command, Problem } from './parts.js';
import { href } from './route.js';
import { clock, html, moment, short, span } from './view.js';

const kinds = { critical: 'bad', warning: 'warn', notice: '' };

// command is the line of the tool that shows whom a trouble is about.
function command(t, me) {
  if (t.topic) return ['mb', 'subscriptions', '--topic', t.topic, ...me.flags];
  return t.id ? ['mb', 'connections', '--filter', t.name || t.id, ...me.flags] : null;
}

// atDoor are those of whom only the log knows who they were.
const atDoor = ['refused', 'handshakes_failed', 'wrong_credentials', 'lockout'];

function Trouble({ t, me }) {
  const words = command(t, me);
  return html`<article class=${'trouble ' + (t.severity === 'critical' ? 'bad' : '')}>
    <h2>${t.kind.replaceAll('_', ' ')}${t.cause && html` <span class="dim">(${t.cause})</span>`} <${Badge} kind=${kinds[t.severity]}>${t.severity}<//></h2>
    <p>${t.why}${t.id && html` <a href=${href('connections', t.id)} title=${t.id}>${t.name || t.identity || short(t.id)}</a>`}${t.remote && html` <span class="dim">${t.remote}</span>`}
      ${t.topic && html` <a href=${me.words.includes('explain') ? href('explain', '', { topic: t.topic, action: 'request' }) : href('topics', '', { pattern: t.topic, action: 'request' })}>${t.topic}</a>`}
      ${atDoor.includes(t.kind) && me.words.includes('log') && html` <a href=${href('logs', '', { module: 'door', q: t.cause || '' })}>who, in the log</a>`}</p>
    <p class="dim">since ${span(t.seconds * 1000)} (<time datetime=${t.since} title=${moment(Date.parse(t.since))}>${clock(Date.parse(t.since))}</time>). What to do: ${t.do}. More: <code>${t.see}</code></p>
    ${words && html`<${Command} words=${words} />`}
  </article>`;
}

export function Troubles({ me }) {
  const { data, error } = usePoll('/troublez', 1000);
  return html`<section aria-label="what is wrong now">
    <${Problem} error=${error} what="what is wrong now" />
    ${data && data.troubles.length === 0 && html`<p class="fine" role="status">Nothing is wrong.</p>`}
    ${data?.troubles.map((t) => html`<${Trouble} key=${[t.kind, t.cause, t.id, t.topic, t.remote].join('|')} t=${t} me=${me} />`)}
    ${data?.more?.map((m) => html`<p class="dim" key=${m.kind}>and ${m.count} more of ${m.kind.replaceAll('_', ' ')}</p>`)}
  </section>`;
}
