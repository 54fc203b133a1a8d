// The page: who asks, what there is to see, and the view that the address names.
import { render } from './vendor/preact.js';
import { useEffect, useState } from './vendor/hooks.js';
import { token, usePoll } from './api.js';
import { Cluster } from './cluster.js';
import { Configuration } from './configuration.js';
import { Connection, Connections } from './connections.js';
import { Explain } from './explain.js';
import { Logs } from './logs.js';
import { Overview } from './overview.js';
import { Problem } from './parts.js';
import { href, useRoute } from './route.js';
import { Runbook } from './runbook.js';
import { Services } from './services.js';
import { Tail } from './tail.js';
import { Topics } from './topics.js';
import { html } from './view.js';

// views by their name in the address: what it is called, who may see it, and what shows it.
const views = {
  overview: { name: 'Overview', show: Overview },
  connections: { name: 'Connections', needs: ['connection', 'service.list'], show: (p) => (p.route.id ? html`<${Connection} ...${p} />` : html`<${Connections} ...${p} />`) },
  services: { name: 'Services', needs: ['service.list'], show: Services },
  topics: { name: 'Topics', needs: ['topic.list'], show: Topics },
  tail: { name: 'Live tail', needs: ['message'], show: Tail },
  explain: { name: 'Explain', needs: ['explain'], show: Explain },
  cluster: { name: 'Cluster', needs: ['connection'], show: Cluster },
  configuration: { name: 'Configuration', needs: ['metrics'], show: Configuration },
  logs: { name: 'Logs', needs: ['log'], show: Logs },
  runbook: { name: 'Runbook', show: Runbook },
};

const themes = ['', 'dark', 'light'];

function useTheme() {
  const [theme, setTheme] = useState(localStorage.getItem('mb.theme') || '');
  useEffect(() => {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    localStorage.setItem('mb.theme', theme);
  }, [theme]);
  return [theme, () => setTheme(themes[(themes.indexOf(theme) + 1) % themes.length])];
}

// SignIn asks for a token, which stays in this tab until that is closed.
function SignIn({ error, onToken, onBack }) {
  const [text, setText] = useState('');
  const submit = (e) => {
    e.preventDefault();
    onToken(text.trim());
  };
  return html`<main><form class="card" onSubmit=${submit}>
    <h1>MB Server Node</h1>
    <p>${onBack ? 'Say who you are: you may see, and do, what your roles allow.' : 'This node wants to know who you are.'}</p>
    ${error && html`<${Problem} error=${error} />`}
    <label>Token <input type="password" autocomplete="current-password" value=${text} onInput=${(e) => setText(e.target.value)} /></label>
    <p><button type="submit" class="main" disabled=${!text.trim()}>Sign in</button>${onBack && html` <button type="button" onClick=${onBack}>Not now</button>`}</p>
    <p class="dim">It stays in this tab until you close it. <code>mb token new</code> makes one.</p>
  </form></main>`;
}

function Top({ me, route, shown, theme, onTheme, onEnter, onLeave, away }) {
  return html`<header class="top">
    <a class="skip" href="#main">to the content</a>
    <span class="brand"><a href="#/overview">MB Server Node</a> <span class="dim" title=${me.nodeId}>${me.nodeId.slice(0, 8)} ${me.version}</span></span>
    <nav aria-label="views">${shown.map(([key, v]) => html`<a key=${key} href=${href(key)}
      aria-current=${route.view === key ? 'page' : undefined}>${v.name}</a>`)}</nav>
    ${away && html`<span class="bad" role="status">node not reached, trying again</span>`}
    <span>${me.identity && html`<span title="who you are">${me.identity}</span> `}
      <button type="button" class="small" onClick=${onTheme} title="colours: as the system, dark, light">${theme || 'auto'}</button>
      ${token.get() && html` <button type="button" class="small" onClick=${onLeave}>Sign out</button>`}${onEnter && html` <button type="button" class="small" onClick=${onEnter}>Sign in</button>`}</span>
  </header>`;
}

// typing says whether a key is meant for a field.
const typing = (e) => e.target.closest('input, textarea, select, dialog') || e.ctrlKey || e.metaKey || e.altKey;

function useKeys() {
  useEffect(() => {
    const pressed = (e) => {
      if (e.key !== '/' || typing(e)) return;
      const field = document.querySelector('main .search');
      if (field) {
        e.preventDefault();
        field.focus();
        field.select();
      }
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);
}

// flags are those that the tool needs to reach this node: none when it is where the tool looks.
function flags({ server }) {
  if (!server || server === 'tcp://127.0.0.1:3001') return [];
  const url = server.replace(/\/\/(0\.0\.0\.0|\[::\]):/, `//${location.hostname}:`);
  return ['--server', url];
}

function App() {
  const route = useRoute();
  const [theme, nextTheme] = useTheme();
  const { data, error, again } = usePoll('/whoamiz', 5000);
  const me = data && { ...data, flags: flags(data), started: Date.parse(data.startedAt) };
  useKeys();
  const [asks, setAsks] = useState(false);
  const [refused, setRefused] = useState(null); // what the node has said to the last token
  const sign = (value) => {
    setAsks(false);
    setRefused(null);
    token.set(value);
    again();
  };
  useEffect(() => {
    document.title = (views[route.view]?.name || 'MB Server Node') + (me ? ` · ${me.nodeId.slice(0, 8)}` : '');
  }, [route.view, me?.nodeId]);
  useEffect(() => { // a token that is refused is not given again: too many lock the address out
    if (error?.status !== 401 || !error.token || error.token !== token.get()) return;
    token.set('');
    setRefused(error);
    again();
  }, [error]);
  if (refused || error?.status === 401) return html`<${SignIn} error=${refused} onToken=${sign} onBack=${error?.status !== 401 && (() => setRefused(null))} />`;
  if (!me) return html`<main>${error ? html`<${Problem} error=${error} />` : html`<p class="dim">asking the node …</p>`}</main>`;
  if (asks) return html`<${SignIn} onToken=${sign} onBack=${() => setAsks(false)} />`;
  const may = (word) => me.words.includes(word);
  const shown = Object.entries(views).filter(([, v]) => (v.needs || []).every(may) && (v.when?.(me) ?? true));
  const view = shown.find(([key]) => key === route.view)?.[1];
  return html`<${Top} me=${me} route=${route} shown=${shown} theme=${theme} onTheme=${nextTheme} onLeave=${() => sign('')}
    onEnter=${me.asks && !me.identity && !token.get() && (() => setAsks(true))} away=${error?.status === 0} />
    <main id="main" tabindex="-1">
      ${error && error.status !== 0 && html`<${Problem} error=${error} />`}
      ${view
    ? html`<${view.show} key=${route.view + '/' + route.id} route=${route} me=${me} may=${may} theme=${theme} />`
    : html`<p class="problem">${views[route.view] ? 'This view is not for you: your roles do not allow it.' : 'There is no such view.'} <a href="#/overview">Overview</a></p>`}
    </main>`;
}

render(html`<${App} />`, document.getElementById('app'));
