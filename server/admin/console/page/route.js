// Where the page is: the part of its address behind #, such as #/connections?sort=dropped. A link to
// it shows the same again.
import { useEffect, useState } from './vendor/hooks.js';

export function parse(hash) {
  const [path, search] = hash.replace(/^#\/?/, '').split('?');
  const [view, ...rest] = path.split('/').map(decodeURIComponent);
  return { view: view || 'overview', id: rest.join('/'), ask: Object.fromEntries(new URLSearchParams(search)) };
}

export function href(view, id = '', ask = {}) {
  const given = Object.entries(ask).filter(([, v]) => v !== undefined && v !== null && v !== '' && v !== false);
  const search = given.length ? '?' + new URLSearchParams(given) : '';
  return '#/' + view + (id ? '/' + encodeURIComponent(id) : '') + search;
}

export function go(view, id, ask) {
  location.hash = href(view, id, ask);
}

// change is go to the same place with some of its values changed; back does not lead over it.
export function change(route, values) {
  history.replaceState(null, '', href(route.view, route.id, { ...route.ask, ...values }));
  dispatchEvent(new HashChangeEvent('hashchange'));
}

export function useRoute() {
  const [route, setRoute] = useState(() => parse(location.hash));
  useEffect(() => {
    const look = () => setRoute(parse(location.hash));
    addEventListener('hashchange', look);
    return () => removeEventListener('hashchange', look);
  }, []);
  return route;
}
