// How the page asks the node: the paths of docs/admin.md, with the token that the operator gave.
import { useEffect, useRef, useState } from './vendor/hooks.js';

const kept = 'mb.token';

export const token = {
  get: () => sessionStorage.getItem(kept) || '',
  set(value) {
    if (value) sessionStorage.setItem(kept, value);
    else sessionStorage.removeItem(kept);
  },
};

// Refused is an answer that is an error, in the node's own words. status 0: there was no answer.
// token is what it was asked with, which the operator may have changed since.
export class Refused extends Error {
  constructor(status, body, token = '') {
    super(body?.error?.message || (status ? `the node answered ${status}` : 'the node does not answer'));
    this.status = status;
    this.code = body?.error?.code || '';
    this.details = body?.error?.details || {};
    this.token = token;
  }
}

async function call(path, options = {}) {
  const headers = { Accept: 'application/json', ...options.headers };
  const given = token.get();
  if (given) headers.Authorization = 'Bearer ' + given;
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: 'no-store', credentials: 'omit', redirect: 'error' });
  } catch (err) {
    if (err.name === 'AbortError') throw err;
    throw new Refused(0);
  }
  if (response.ok) return response;
  let body;
  try {
    body = await response.json();
  } catch {
    // The status says enough.
  }
  throw new Refused(response.status, body, given);
}

export async function get(path, signal) {
  return (await call(path, { signal })).json();
}

export async function post(path, body, signal) {
  const response = await call(path, {
    method: 'POST', signal, body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' },
  });
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return { said: text.trim() };
  }
}

// A path with what is asked of it; what is empty is left out.
export function query(path, values) {
  const given = Object.entries(values).filter(([, v]) => v !== undefined && v !== null && v !== '' && v !== false);
  return given.length ? path + '?' + new URLSearchParams(given.map(([k, v]) => [k, String(v)])) : path;
}

const pause = (ms, signal) => new Promise((done) => {
  const timer = setTimeout(done, ms);
  signal.addEventListener('abort', () => {
    clearTimeout(timer);
    done();
  }, { once: true });
});

// visible waits until somebody can see the page: a hidden one asks the node nothing.
const visible = (signal) => new Promise((done) => {
  if (!document.hidden) return done();
  const look = () => {
    if (document.hidden && !signal.aborted) return;
    document.removeEventListener('visibilitychange', look);
    done();
  };
  document.addEventListener('visibilitychange', look);
  signal.addEventListener('abort', look, { once: true });
});

// usePoll asks for path again and again, the next time everyMs after an answer. It returns what was
// answered last, and what went wrong since. again() asks at once.
export function usePoll(path, everyMs = 2000) {
  const [state, setState] = useState({ data: null, error: null, path: null });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (!path) return undefined;
    const stop = new AbortController();
    (async () => {
      while (!stop.signal.aborted) {
        await visible(stop.signal);
        if (stop.signal.aborted) return;
        try {
          const data = await get(path, stop.signal);
          setState({ data, error: null, path });
        } catch (error) {
          if (stop.signal.aborted) return;
          setState((old) => ({ data: old.path === path ? old.data : null, error, path }));
        }
        if (!everyMs) return;
        await pause(everyMs, stop.signal);
      }
    })();
    return () => stop.abort();
  }, [path, everyMs, turn]);
  return { ...state, again: () => setTurn((n) => n + 1) };
}

// useStream calls onEvent(name, data) for each event that path streams, and asks again, later each
// time up to five seconds, when it ends. It returns what is wrong, null while events may come.
// An EventSource would do, if it could send a token.
export function useStream(path, onEvent) {
  const [error, setError] = useState(null);
  const handler = useRef(onEvent);
  handler.current = onEvent;
  useEffect(() => {
    if (!path) return undefined;
    const stop = new AbortController();
    (async () => {
      for (let wait = 500; !stop.signal.aborted; wait = Math.min(wait * 2, 5000)) {
        try {
          const response = await call(path, { signal: stop.signal, headers: { Accept: 'text/event-stream' } });
          setError(null);
          wait = 500;
          await readEvents(response.body, (name, data) => handler.current(name, data));
          if (!stop.signal.aborted) setError(new Refused(0));
        } catch (err) {
          if (stop.signal.aborted) return;
          setError(err);
          // Who may not, may not later either: the page asks again when it is asked to.
          if (err.status === 401 || err.status === 403 || err.status === 400) return;
        }
        await pause(wait * (0.5 + Math.random() / 2), stop.signal);
      }
    })();
    return () => stop.abort();
  }, [path]);
  return error;
}

async function readEvents(body, onEvent) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  let name = 'message';
  let lines = [];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split('\n');
    rest = parts.pop();
    for (const raw of parts) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line === '') {
        if (lines.length) onEvent(name, JSON.parse(lines.join('\n')));
        name = 'message';
        lines = [];
      } else if (line.startsWith('event:')) name = line.slice(6).trim();
      else if (line.startsWith('data:')) lines.push(line.slice(5).trimStart());
    }
  }
}
