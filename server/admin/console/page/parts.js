// The parts that several views are made of.
import { useEffect, useRef, useState } from './vendor/hooks.js';
import { post } from './api.js';
import { html, quoted } from './view.js';

// Problem says what went wrong, in the node's words, and what to do when it can be told.
export function Problem({ error, what }) {
  if (!error) return null;
  return html`<p class="problem" role="alert">
    ${what && html`<b>${what}: </b>`}${error.message}
    ${error.details?.key && html` <span class="dim">(${error.details.key})</span>`}
    ${error.status === 0 && html` <span class="dim">The page asks again by itself.</span>`}
  </p>`;
}

// Command shows the line of the tool that says the same as the view, to be copied.
export function Command({ words }) {
  const line = words.filter((w) => w !== '' && w !== undefined).map(quoted).join(' ');
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(line);
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
    } catch {
      // Without a clipboard the line can still be selected.
    }
  };
  return html`<p class="command"><code>${line.split(' ').map((word) => html`<span>${word}</span> `)}</code>
    <button type="button" class="small" onClick=${copy} aria-label=${'copy ' + line}>${copied ? 'copied' : 'copy'}</button></p>`;
}

export const Badge = ({ kind = '', children }) => html`<span class=${'badge ' + kind}>${children}</span>`;

// Facts lists what is known of something; a fact without a value is left out.
export function Facts({ of }) {
  return html`<dl class="facts">${of
    .filter(([, value]) => value !== undefined && value !== null && value !== '')
    .map(([name, value, title]) => html`<div key=${name}><dt>${name}</dt><dd title=${title}>${value}</dd></div>`)}</dl>`;
}

// Search is a field that tells what it holds when nobody has typed for a moment.
export function Search({ value, onChange, label }) {
  const [text, setText] = useState(value || '');
  const timer = useRef(0);
  useEffect(() => setText(value || ''), [value]);
  useEffect(() => () => clearTimeout(timer.current), []); // who has gone on is not brought back
  const typed = (e) => {
    setText(e.target.value);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onChange(e.target.value.trim()), 250);
  };
  return html`<input type="search" class="search" placeholder=${label + ' ( / )'} aria-label=${label}
    value=${text} onInput=${typed} autocomplete="off" spellcheck=${false} />`;
}

// Table shows rows. A column has a name, what its cell shows of a row, and by what the node sorts
// (sort), which its head asks for. Nothing is sorted here.
export function Table({ columns, rows, sort, onSort, empty, keyOf, label }) {
  const shown = columns.filter(Boolean);
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}><table>
    <thead><tr>${shown.map((c) => html`<th key=${c.name} scope="col" class=${c.number ? 'number' : ''}
      aria-sort=${c.sort && sort === c.sort ? 'descending' : undefined}>
      ${c.sort && onSort
    ? html`<button type="button" class="head" onClick=${() => onSort(c.sort)}>${c.name}${sort === c.sort ? ' ▾' : ''}</button>`
    : c.name}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${keyOf(row)}>${shown.map((c) => html`<td key=${c.name}
      class=${c.number ? 'number' : c.code ? 'code' : c.wide ? 'wide' : ''} title=${c.title?.(row)}>${c.cell(row)}</td>`)}</tr>`)}
    ${rows.length === 0 && html`<tr><td colspan=${shown.length} class="dim">${empty}</td></tr>`}</tbody>
  </table></div>`;
}

// Pages leads through a list of which the node gives a part at a time.
export function Pages({ offset, limit, total, onMove }) {
  if (total === undefined || total <= limit && offset === 0) return null;
  const last = Math.min(offset + limit, total);
  return html`<nav class="pages" aria-label="pages">
    <button type="button" class="small" disabled=${offset === 0} onClick=${() => onMove(Math.max(0, offset - limit))}>‹ before</button>
    <span>${total === 0 ? 0 : offset + 1}–${last} of ${total}</span>
    <button type="button" class="small" disabled=${last >= total} onClick=${() => onMove(offset + limit)}>next ›</button>
  </nav>`;
}

// useBottom keeps what shows a list at its end, for who has not scrolled away from there.
export function useBottom(list) {
  const box = useRef(null);
  useEffect(() => {
    const b = box.current;
    if (b && b.scrollHeight - b.scrollTop - b.clientHeight < b.clientHeight) b.scrollTop = b.scrollHeight;
  }, [list]);
  return box;
}

// Action is a button for what changes the node: it asks whether that is meant, then tells what came
// of it. fields are asked for with it: {name, label, value, type}. Foresee shows, while it asks, what
// would come of it.
export function Action({ name, path, body, what, Foresee, fields = [], danger, onDone }) {
  const dialog = useRef(null);
  const [values, setValues] = useState({});
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const [said, setSaid] = useState('');
  const [asks, setAsks] = useState(false);
  const open = () => {
    setAsks(true);
    setValues(Object.fromEntries(fields.map((f) => [f.name, f.value ?? ''])));
    setError(null);
    setSaid('');
    dialog.current.showModal();
  };
  const act = async (e) => {
    e.preventDefault();
    setBusy(true);
    try {
      await post(path, body(values));
      dialog.current.close();
      setSaid('done');
      onDone?.();
    } catch (err) {
      setError(err);
    }
    setBusy(false);
  };
  return html`<span class="action">
    <button type="button" class=${danger ? 'danger' : ''} onClick=${open}>${name}</button>
    ${said && html`<span class="dim" role="status"> ${said}</span>`}
    <dialog ref=${dialog} aria-label=${name} onClose=${() => setAsks(false)}><form onSubmit=${act}>
      <h2>${name}</h2><p>${what}</p>${asks && Foresee && html`<${Foresee} />`}
      ${fields.map((f) => html`<label key=${f.name}>${f.label}
        <input type=${f.type || 'text'} value=${values[f.name] ?? ''} min=${f.min}
          onInput=${(e) => setValues({ ...values, [f.name]: e.target.value })} /></label>`)}
      <${Problem} error=${error} />
      <p class="buttons"><button type="button" onClick=${() => dialog.current.close()}>Cancel</button>
        <button type="submit" class=${danger ? 'danger' : 'main'} disabled=${busy}>${name}</button></p>
    </form></dialog>
  </span>`;
}
