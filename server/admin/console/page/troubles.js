// What is wrong with the node now, the worst first, and what to do about it.
import { usePoll } from './api.js';
import { Badge, Problem } from './parts.js';
import { href } from './route.js';
import { clock, html, moment, short, span } from './view.js';

const kinds = { critical: 'bad', warning: 'warn', notice: '' };

function Trouble({ t }) {
  return html`<article class=${'trouble ' + (t.severity === 'critical' ? 'bad' : '')}>
    <h2>${t.kind.replaceAll('_', ' ')}${t.cause && html` <span class="dim">(${t.cause})</span>`} <${Badge} kind=${kinds[t.severity]}>${t.severity}<//></h2>
    <p>${t.why}${t.id && html` <a href=${href('connections', t.id)} title=${t.id}>${t.name || t.identity || short(t.id)}</a>`}${t.remote && html` <span class="dim">${t.remote}</span>`}
      ${t.topic && html` <a href=${href('topics', '', { pattern: t.topic })}>${t.topic}</a>`}</p>
    <p class="dim">since ${span(t.seconds * 1000)} (<time datetime=${t.since} title=${moment(Date.parse(t.since))}>${clock(Date.parse(t.since))}</time>). What to do: ${t.do}. More: <code>${t.see}</code></p>
  </article>`;
}

export function Troubles() {
  const { data, error } = usePoll('/troublez', 1000);
  return html`<section aria-label="what is wrong now">
    <${Problem} error=${error} what="what is wrong now" />
    ${data && data.troubles.length === 0 && html`<p class="fine" role="status">Nothing is wrong.</p>`}
    ${data?.troubles.map((t) => html`<${Trouble} key=${[t.kind, t.cause, t.id, t.topic, t.remote].join('|')} t=${t} />`)}
    ${data?.more?.map((m) => html`<p class="dim" key=${m.kind}>and ${m.count} more of ${m.kind.replaceAll('_', ' ')}</p>`)}
  </section>`;
}
