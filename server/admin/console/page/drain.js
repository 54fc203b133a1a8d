// Draining the node, and what would come of it, as far as the node knows.
import { usePoll } from './api.js';
import { Action } from './parts.js';
import { count, html, span } from './view.js';

const named = 10; // services that are named

// Foresee says how many would go, how long that takes, and which services nobody else has here.
function Foresee() {
  const { data: connections, error } = usePoll('/connz?limit=1', 2000);
  const { data: services, error: unlisted } = usePoll('/servicez?limit=1000', 2000);
  const { data: keys, error: unread } = usePoll('/configz?search=shutdown.', 0);
  const { data: cluster } = usePoll('/clusterz', 2000);
  if (error || unlisted || unread) return null; // who may drain need not see all of that
  if (!connections || !services || !keys) return html`<p class="dim">looking what would happen …</p>`;
  const of = Object.fromEntries(keys.settings.map((s) => [s.key, s.value]));
  const takes = Math.min(Math.max(of['shutdown.spread'], connections.total / of['shutdown.rate'] * 1000), of['shutdown.timeout']);
  const instances = new Map();
  for (const s of services.services) if (s.serves && s.name) instances.set(s.name, (instances.get(s.name) || 0) + 1);
  const lone = [...instances].filter(([, n]) => n === 1).map(([name]) => name).sort();
  const live = cluster && !cluster.alone ? cluster.peers.filter((p) => p.state === 'live' && !p.draining).length : 0;
  return html`<p>${count(connections.total)} connections are told to go, services last, within ${span(takes)}; who waits for answers has ${span(of['shutdown.grace'])} more.
    ${' '}${lone.length > 0 ? html`Services that nobody else at this node has: ${lone.slice(0, named).join(', ')}${lone.length > named ? ` and ${lone.length - named} more` : ''}.` : 'Each service that has a name has another instance here.'}
    ${services.matched > services.services.length && ' Not all services were looked at.'}
    ${' '}${live > 0 ? `${live} other nodes are live.` : 'No other node is known to this one: who comes back may come back here.'}</p>`;
}

export const Drain = () => html`<${Action} name="Drain" danger path="/drain" body=${() => ({})} Foresee=${Foresee}
    what="Readiness fails, then those who are connected are told to go to another node. Listeners stay open. This can be cancelled." />
  ${' '}<${Action} name="End the drain" path="/drain" body=${() => ({ cancel: true })} what="The node is ready again; whose time to go has not come stays." />`;
