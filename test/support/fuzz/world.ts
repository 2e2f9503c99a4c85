/** What the fuzzer plays with: a service with real stores, something of every kind in it, and things that nobody may see. */
import { randomBytes } from 'node:crypto';
import type { Logger } from '../../../src/engine/ports/logger.ts';
import { field, openClient } from '../../harness/client/client.ts';
import { createTestLog } from '../../harness/test-log.ts';
import { openStack } from '../stack.ts';
import { readDocument } from './document.ts';
import { createJudge, type Judge } from './judge.ts';
import { createKnown } from './known.ts';
import type { Means } from './requests.ts';

const ENVIRONMENT = {
  EGRESS_POLICY: 'none',
  // Nothing listens there, and only what may be reached can be registered.
  EGRESS_ALLOW: '127.0.0.1:9',
  RECONCILE_SECONDS: '2',
  // To wait for a second attempt shows nothing.
  MAX_RETRY_ATTEMPTS: '0',
};

export interface World extends Means {
  judge: Judge;
  url: string;
  port: number;
  /** Of an API that lets nobody in without a key. */
  closedPort: number;
  /** What was told where nobody may read it, since the last call. */
  takeLogFaults(): string[];
  /** Undoes what would stop everything. */
  tidy(): Promise<void>;
  close(): Promise<void>;
}

export async function openWorld(): Promise<World> {
  const judge = createJudge();
  const secret = (what: string) => {
    const value = `planted-${randomBytes(18).toString('hex')}`;
    judge.keepSecret(what, value);
    return value;
  };
  const apiKey = secret('an API key');
  const { log, takeFaults } = watchedLog(judge);
  const stack = await openStack('postgres', {
    log,
    environment: {
      ...ENVIRONMENT,
      PEER_SECRET: `${secret('the secret of peers')},${secret('an older secret of peers')}`,
      APPROVAL_LINK_SECRET: secret('the secret of links'),
      WEBHOOK_SECRET: secret('the secret of callbacks'),
      SMTP_URL: `smtp://fuzz:${secret('the password of the mail server')}@127.0.0.1:9`,
      SLACK_WEBHOOK_URL: `http://127.0.0.1:9/services/${secret('the address of a channel')}`,
      SERVICES: JSON.stringify({ planted: 'http://127.0.0.1:9/base' }),
    },
  });
  try {
    const password = new URL(stack.databaseUrl).password;
    if (password.length >= 8) judge.keepSecret('the password of the database', password);
    const closed = await stack.add('api', { API_KEY: apiKey });
    const known = createKnown();
    const taken = new Map<string, unknown[]>();
    await fill(stack.api.url, 'fuzz', (body) => known.learn(body));
    const marker = secret("another tenant's words");
    await fill(stack.api.url, 'victim', (body) => known.learnTheirs(body), marker);
    return {
      document: readDocument(),
      known,
      taken,
      judge,
      url: stack.api.url,
      port: Number(new URL(stack.api.url).port),
      closedPort: closed.port,
      takeLogFaults: takeFaults,
      async tidy() {
        const { rows } = await stack.db.query<{ lane: string }>('SELECT lane FROM lane_pause');
        for (const { lane } of rows) await stack.api.post(`/lanes/${encodeURIComponent(lane)}/resume`, {});
      },
      close: () => stack.stop(),
    };
  } catch (error) {
    await stack.stop();
    throw error;
  }
}

function watchedLog(judge: Judge) {
  const kept = createTestLog();
  const faults: string[] = [];
  const watch = (level: 'debug' | 'info' | 'warn' | 'error') => (event: string, fields?: object) => {
    kept[level](event, fields);
    // A log is for who may read stack traces; credentials are for nobody.
    const leaks = judge
      .leaksIn(`${event} ${JSON.stringify(fields ?? {})}`)
      .filter((leak) => !/^tells (?:a |words|another tenant)/.test(leak));
    faults.push(...leaks.map((leak) => `the log ${leak} in '${event}'`));
    if (event === 'request failed')
      faults.push(`the log has a failed request: ${JSON.stringify(fields).slice(0, 3_000)}`);
  };
  const log: Logger & typeof kept = {
    ...kept,
    debug: watch('debug'),
    info: watch('info'),
    warn: watch('warn'),
    error: watch('error'),
  };
  return { log, takeFaults: () => faults.splice(0) };
}

/** One of everything. */
async function fill(url: string, tenant: string, learn: (body: unknown) => void, words = 'fuzz'): Promise<void> {
  const api = openClient(url, { 'x-tenant-id': tenant });
  const send = async (path: string, body: object) => {
    const answer = await api.post(path, body);
    if (answer.status >= 300) throw new Error(`${path} answered ${answer.status}: ${answer.text}`);
    learn(answer.body);
    return answer;
  };
  const flow = field(
    await send('/workflows', {
      name: words === 'fuzz' ? 'fuzz-flow' : words,
      description: words,
      parameters: [{ name: 'x', type: 'string', default: words }],
      actions: [
        { action_id: 'a', action_type: 'test_task', config: { message: words } },
        { action_id: 'b', action_type: 'transform', config: { expression: 'a' }, depends_on: ['a'] },
      ],
    }),
    'workflow_id',
  );
  const asking = field(
    await send('/workflows', {
      name: `asks-${words}`,
      actions: [
        { action_id: 'asks', action_type: 'approval', config: { message: words } },
        { action_id: 'hold', action_type: 'wait', config: { seconds: 86_400 } },
        { action_id: 'go', action_type: 'signal', config: { name: 'go' } },
        {
          action_id: 'ext',
          action_type: 'external',
          config: { topic: words === 'fuzz' ? 'fuzz' : 'theirs', input: { words } },
        },
      ],
    }),
    'workflow_id',
  );
  const failing = field(
    await send('/workflows', {
      name: `fails-${words}`,
      actions: [
        { action_id: 'fails', action_type: 'transform', config: { expression: '1 / 0' }, retry: { max_attempts: 1 } },
      ],
    }),
    'workflow_id',
  );
  for (const id of [flow, failing, asking, asking, asking, asking, asking])
    await send(`/workflows/${id}/execute`, { correlation_id: words });
  await send('/assign-task', { task_type: 'test_task', params: { words } });
  await send('/schedules', { name: words, workflow_id: flow, cron: '0 0 1 1 *' });
  const webhook = field(
    await send('/webhooks', { url: 'http://127.0.0.1:9/hook', events: ['run.*'], description: words }),
    'webhook_id',
  );
  await send(`/webhooks/${webhook}/test`, {});
  const description =
    words === 'fuzz'
      ? { name: 'documents', base_url: 'http://127.0.0.1:9' }
      : { name: words, base_url: 'http://127.0.0.1:9' };
  await send('/registry/register', description);
  await send('/docstore/save', { content: words, metadata: { words } });
}
