// A node to look at, and how long to wait for something.
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../../../', import.meta.url));
export const out = process.env.OUT || root + 'bin/console';
export const chromiumPath = process.env.CHROMIUM || '/usr/bin/chromium';

const freePort = () => new Promise((done) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => done(port));
  });
});

// until returns what f finds at last; it asks again for 15 s.
export async function until(what, f) {
  for (let end = Date.now() + 15000; Date.now() < end; await new Promise((r) => setTimeout(r, 50))) {
    try {
      const found = await f();
      if (found) return found;
    } catch {
      // not yet
    }
  }
  throw new Error('in 15 s not: ' + what);
}

// startNode starts a node with settings; before are the words in front of its command line, where are
// the ports of another one that has ended.
export async function startNode(settings, before = [], where = null) {
  const [ws, tcp, admin] = where || await Promise.all([freePort(), freePort(), freePort()]);
  const given = [...settings, `ports.ws=${ws}`, `ports.tcp=${tcp}`, `admin.address=127.0.0.1:${admin}`];
  const [command, ...words] = [...before, process.env.MB_SERVER || root + 'bin/mb-server', ...given.flatMap((s) => ['--set', s])];
  const node = spawn(command, words, { stdio: ['ignore', 'ignore', 'inherit'] });
  const stop = () => node.kill('SIGKILL');
  process.once('exit', stop); // however the test ends
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
  const base = `http://127.0.0.1:${admin}`;
  await until('the node is ready', async () => (await fetch(base + '/readyz')).ok);
  return { base, tcp, ws, pid: node.pid, stop, ports: [ws, tcp, admin], ended: new Promise((done) => node.once('exit', done)) };
}
