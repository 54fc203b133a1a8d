// The runbook: what may be wrong with a node, where to look and what to do, as docs/operations.md has it.
import { useEffect, useState } from './vendor/hooks.js';
import { Refused } from './api.js';
import { Facts, Problem, Search, Table } from './parts.js';
import { change, href } from './route.js';
import { html } from './view.js';

const file = 'console/runbook.md';

// rows are those of the table of symptoms, which is in a chapter of its own; group is what stands
// above them.
function rows(text) {
  const found = [];
  let group = '';
  for (const line of text.split('\n## ').find((c) => c.startsWith('When something is wrong')).split('\n').filter((l) => l.startsWith('| '))) {
    const [symptom, look, cause, act] = line.slice(2, -2).split(' | ');
    if (!cause?.trim()) group = symptom;
    else if (act && symptom !== 'symptom') found.push({ id: symptom.match(/<a id="([^"]+)">/)?.[1] || '', group, symptom, look, cause, act });
  }
  return found;
}

// written is a line of Markdown as elements. What it refers to is a file of docs, which is not here.
function written(text) {
  return text.replace(/<a id="[^"]*"><\/a>/g, '').split(/(`[^`]+`|\*\*[^*]+\*\*|\[[^\]]+\]\([^)]+\))/).map((part) => {
    const link = part.match(/^\[([^\]]+)\]\(([^)]+)\)$/);
    if (link) return html`<span title=${'docs/' + (link[2].startsWith('#') ? 'operations.md' : '') + link[2]}>${written(link[1])}</span>`;
    if (part.startsWith('**')) return html`<b>${part.slice(2, -2)}</b>`;
    return part.startsWith('`') ? html`<code>${part.slice(1, -1)}</code>` : part;
  });
}

const columns = [
  { name: 'symptom', cell: (r) => html`<span id=${r.id || undefined}>${written(r.symptom)}</span>` },
  { name: 'look at', wide: true, cell: (r) => written(r.look) },
  { name: 'cause', wide: true, cell: (r) => written(r.cause) },
  { name: 'what to do', wide: true, cell: (r) => written(r.act) },
];

export function Runbook({ route }) {
  const { search = '' } = route.ask;
  const [all, setAll] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    fetch(file).then((r) => r.text()).then((text) => setAll(rows(text)), () => setError(new Refused(0)));
  }, []);
  const one = route.id && all?.find((r) => r.id === route.id);
  const wanted = search.toLowerCase();
  return html`<h1>Runbook</h1><${Problem} error=${error} />
    ${all && route.id && !one && html`<p class="problem">The runbook has nothing of this name.</p>`}
    ${one && html`<section class="card"><h2>${written(one.symptom)}</h2><${Facts} of=${[
    ['look at', written(one.look)], ['cause', written(one.cause)], ['what to do', written(one.act)],
  ]} /></section><p><a href=${href('runbook')}>all of it</a></p>`}
    ${all && !route.id && html`<div class="bar"><${Search} label="search symptoms, causes, metrics" value=${search} onChange=${(v) => change(route, { search: v })} /></div>
      <${Table} label="what may be wrong" columns=${columns} keyOf=${(r) => r.symptom} empty="Nothing is like this."
        rows=${all.filter((r) => Object.values(r).join(' ').toLowerCase().includes(wanted))} />`}
    <p class="dim">More of it, how large a machine has to be, how to upgrade: <a href=${file}>docs/operations.md</a>.</p>`;
}
