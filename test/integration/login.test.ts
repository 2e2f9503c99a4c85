/** Logging in at a provider, with sessions where they are kept: in PostgreSQL, for all API processes. */
import { expect, test } from 'vitest';
import { freePort } from '../../src/launch/postgres-server.ts';
import { until } from '../harness/until.ts';
import { type Browser, createBrowser } from '../support/browser.ts';
import { CLIENT, startProvider } from '../support/oidc-provider.ts';
import { openStack } from '../support/stack.ts';

interface Shown {
  session_id: string;
  user_id: string;
  current: boolean;
}

test('a session is begun in the database, and one that is ended at one process is refused by every other', async () => {
  const provider = await startProvider();
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const stack = await openStack('postgres', {
    workers: 0,
    environment: {
      ...{ PORT: String(port), PUBLIC_URL: url, SESSION_SECRET: 'a secret for sessions of more than 32 characters' },
      ...{ OIDC_ISSUER: provider.issuer, OIDC_CLIENT_ID: CLIENT.id, OIDC_CLIENT_SECRET: CLIENT.secret },
    },
  });
  try {
    const other = await stack.add('api', { PORT: '0' });
    const at = (path: string) => `${url}${path}`;
    const json = { accept: 'application/json' };
    const [here, there] = [createBrowser(), createBrowser()];
    for (const browser of [here, there]) {
      const { answer, way } = await browser.visit(at('/auth/login?return_to=/info'));
      expect([answer.status, way.at(-1)]).toEqual([200, at('/info')]);
    }
    const sessionsOf = async (browser: Browser): Promise<Shown[]> => {
      const answer = await browser.ask(at('/auth/sessions'), { headers: json });
      return ((await answer.json()) as { items: Shown[] }).items; // As documented.
    };
    const own = await sessionsOf(here);
    expect(own.map(({ user_id, current }) => ({ user_id, current }))).toEqual([
      { user_id: 'anna', current: false },
      { user_id: 'anna', current: true },
    ]);

    const elsewhere = own.find(({ current }) => !current)?.session_id ?? '';
    const init = { method: 'DELETE', headers: { ...json, origin: url } };
    expect((await here.ask(at(`/auth/sessions/${elsewhere}`), init)).status).toBe(204);
    for (const process of [port, other.port]) {
      await until(
        async () => (await there.ask(`http://127.0.0.1:${process}/auth/me`, { headers: json })).status === 401,
        { what: `the process at ${process} refuses the session` },
      );
      expect((await here.ask(`http://127.0.0.1:${process}/auth/me`, { headers: json })).status).toBe(200);
    }
    expect(await sessionsOf(here)).toMatchObject([{ current: true }]);
    const { rows } = await stack.db.query('SELECT id, ended_by FROM login_session WHERE ended_at IS NOT NULL');
    expect(rows).toEqual([{ id: elsewhere, ended_by: 'anna' }]);
  } finally {
    await stack.stop();
    await provider.close();
  }
});
