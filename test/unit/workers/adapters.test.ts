import { afterEach, describe, expect, test } from 'vitest';
import { notification } from '../../../workers/adapters/notification.ts';
import { testTask } from '../../../workers/adapters/test-task.ts';
import { transform } from '../../../workers/adapters/transform.ts';
import { wait } from '../../../workers/adapters/wait.ts';
import { type AdapterContextOptions, adapterContext, type TestContext } from '../../support/adapter-context.ts';
import { answerJson, type Handle, type HttpServer, startHttpServer } from '../../support/http-server.ts';
import { failureOf, runAdapter } from '../../support/run-adapter.ts';
import { type SmtpServer, startSmtpServer } from '../../support/smtp-server.ts';

const closers: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
function contextOf(options: AdapterContextOptions = {}): TestContext {
  const made = adapterContext(options);
  closers.push(() => made.close());
  return made;
}
async function serve(handle: Handle): Promise<HttpServer> {
  const server = await startHttpServer(handle);
  closers.push(() => server.close());
  return server;
}
async function mailServer(refuse?: string): Promise<SmtpServer> {
  const server = await startSmtpServer(refuse);
  closers.push(() => server.close());
  return server;
}

describe('test_task', () => {
  test('echoes its parameters, also those it does not know', async () => {
    expect(await runAdapter(testTask, {}, contextOf().context)).toEqual({});
    const given = { duration: 0.01, success_rate: 1, anything: [1, { a: null }] };
    expect(await runAdapter(testTask, given, contextOf().context)).toEqual(given);
  });

  test('fails as configured, for as many attempts as configured', async () => {
    const config = { fail_with: 'Connection timeout to ESC system', fail_attempts: 2 };
    for (const attempt of [1, 2]) {
      const error = await failureOf(runAdapter(testTask, config, contextOf({ attempt }).context));
      expect(error).toMatchObject({ name: 'RetryableError', message: 'Connection timeout to ESC system' });
    }
    expect(await runAdapter(testTask, config, contextOf({ attempt: 3 }).context)).toEqual(config);
    expect((await failureOf(runAdapter(testTask, { success_rate: 0 }, contextOf().context))).message).toContain(
      'simulated failure',
    );
  });

  test('stops at once when it is aborted', async () => {
    const abort = new AbortController();
    const work = runAdapter(testTask, { duration: 3_000 }, contextOf({ signal: abort.signal }).context);
    const reason = new Error('cancelled');
    abort.abort(reason);
    await expect(work).rejects.toBe(reason);
  });
});

describe('notification', () => {
  test('goes to the log when no channel is named', async () => {
    const { context, logged } = contextOf();
    expect(await runAdapter(notification, { message: 'Hello, World!' }, context)).toEqual({
      delivered: [{ channel: 'log' }],
    });
    expect(logged).toEqual([{ level: 'info', message: 'Hello, World!', data: {} }]);
    const output = await runAdapter(notification, { message: { a: 1 }, channels: ['console', 'log'] }, context);
    expect(output.delivered).toEqual([{ channel: 'log' }]);
    expect(logged[1]?.message).toBe('{"a":1}');
  });

  test('goes to webhooks, each with a key of its own', async () => {
    const server = await serve((_request, response) => answerJson(response, {}));
    const { context } = contextOf({ settings: { SLACK_WEBHOOK_URL: `${server.url}/slack` } });
    const config = {
      message: 'Done',
      title: 'Run',
      metadata: { a: 1 },
      channels: ['webhook', 'slack'],
      webhook_url: `${server.url}/hook`,
    };
    expect((await runAdapter(notification, config, context)).delivered).toEqual([
      { channel: 'webhook', status: 200 },
      { channel: 'slack', status: 200 },
    ]);
    const [hook, slack] = server.received;
    expect(JSON.parse(hook?.body ?? '')).toMatchObject({
      message: 'Done',
      title: 'Run',
      metadata: { a: 1 },
      execution_id: 'run-1',
      action_id: 'action-1',
    });
    expect(JSON.parse(slack?.body ?? '')).toEqual({ text: '*Run*\nDone' });
    expect(hook?.headers['idempotency-key']).toBe('run-1.1.action-1.webhook');
    expect(slack?.headers['idempotency-key']).toBe('run-1.1.action-1.slack');
  });

  test('a webhook from the configuration is trusted, one from the definition is not', async () => {
    const server = await serve((_request, response) => answerJson(response, {}));
    const options = { settings: { NOTIFICATION_WEBHOOK_URL: server.url }, egress: { policy: 'registered' as const } };
    await runAdapter(notification, { message: 'x', channels: ['webhook'] }, contextOf(options).context);
    const given = { message: 'x', channels: ['webhook'], webhook_url: server.url };
    expect((await failureOf(runAdapter(notification, given, contextOf(options).context))).code).toBe('egress_denied');
  });

  test('goes by e-mail', async () => {
    const smtp = await mailServer();
    const { context } = contextOf({
      settings: { SMTP_URL: smtp.url, SMTP_FROM: 'from@example.com', NOTIFICATION_EMAIL_TO: 'ops@example.com' },
    });
    const { delivered } = await runAdapter(
      notification,
      { message: 'Body text', title: 'Subject\r\nBcc: evil@example.com', channels: ['email'] },
      context,
    );
    expect(delivered).toEqual([{ channel: 'email', message_id: expect.stringContaining('run-1.1.action-1') }]);
    await runAdapter(
      notification,
      { message: 'Other', channels: ['email'], to: ['a@example.com', 'b@example.com'] },
      context,
    );
    expect(smtp.messages.map(({ to }) => to)).toEqual([['<ops@example.com>'], ['<a@example.com>', '<b@example.com>']]);
    expect(smtp.messages[0]?.from).toContain('from@example.com');
    expect(smtp.messages[0]?.data).toContain('Body text');
    expect(smtp.messages[0]?.data).not.toMatch(/^Bcc:/m);
    expect(smtp.messages[1]?.data).toMatch(/^Subject: Other$/m);
  });

  test.each([
    ['550 no such user', 'NonRetryableError', 'upstream_rejected'],
    ['451 try later', 'RetryableError', 'upstream_error'],
  ])('a mail server that says %s ends the attempt as a %s', async (refuse, name, code) => {
    const smtp = await mailServer(refuse);
    const { context } = contextOf({ settings: { SMTP_URL: smtp.url, NOTIFICATION_EMAIL_TO: 'ops@example.com' } });
    const error = await failureOf(runAdapter(notification, { message: 'x', channels: ['email'] }, context));
    expect(error).toMatchObject({ name, code });
    expect(error.message).toContain(refuse.slice(4));
  });

  test('a mail server that is away can be tried again', async () => {
    const smtp = await startSmtpServer();
    await smtp.close();
    const { context } = contextOf({ settings: { SMTP_URL: smtp.url, NOTIFICATION_EMAIL_TO: 'ops@example.com' } });
    expect(await failureOf(runAdapter(notification, { message: 'x', channels: ['email'] }, context))).toMatchObject({
      name: 'RetryableError',
      code: 'network_error',
    });
  });

  test.each([
    ['webhook', 'NOTIFICATION_WEBHOOK_URL'],
    ['slack', 'SLACK_WEBHOOK_URL'],
    ['email', 'SMTP_URL'],
  ])('a channel %s that is not configured says so before anything is sent', async (channel, setting) => {
    const { context, logged } = contextOf();
    const error = await failureOf(runAdapter(notification, { message: 'x', channels: ['log', channel] }, context));
    expect(error).toMatchObject({ name: 'NonRetryableError', message: expect.stringContaining(setting) });
    expect(logged).toEqual([]);
  });
});

describe('transform', () => {
  const scope = {
    params: { least: 2 },
    run: { id: 'run-1' },
    outputs: { fetch: { response: { items: [{ n: 1 }, { n: 2 }, { n: 3 }] } }, 'odd-id': 5 },
  };

  test('computes over parameters, outputs, the run and its input', async () => {
    const run = (config: unknown) => runAdapter(transform, config, contextOf({ scope }).context);
    expect(await run({ expression: 'fetch.response.items.filter(i, i.n >= params.least).map(i, i.n)' })).toEqual([
      2, 3,
    ]);
    expect(await run({ expression: 'input.factor * outputs["odd-id"]', input: { factor: 2 } })).toBe(10);
    expect(await run({ outputs: { count: 'size(fetch.response.items)', id: 'run.id' } })).toEqual({
      count: 3,
      id: 'run-1',
    });
  });

  test('a failing expression fails with its reason', async () => {
    const work = runAdapter(transform, { expression: 'fetch.nothing.there' }, contextOf({ scope }).context);
    await expect(work).rejects.toMatchObject({ code: 'expression_failed' });
  });
});

describe('wait', () => {
  const now = (): Date => new Date('2030-01-01T00:00:00Z');

  test('sleeps for seconds or until a time', async () => {
    const first = contextOf({ now });
    expect(await runAdapter(wait, { seconds: 90 }, first.context)).toEqual({
      waited_until: '2030-01-01T00:01:30.000Z',
    });
    const second = contextOf({ now });
    expect(await runAdapter(wait, { until: '2030-02-01T01:00:00+01:00' }, second.context)).toEqual({
      waited_until: '2030-02-01T00:00:00.000Z',
    });
    expect([first.slept, second.slept].flat().map((time) => time.toISOString())).toEqual([
      '2030-01-01T00:01:30.000Z',
      '2030-02-01T00:00:00.000Z',
    ]);
  });

  test('a later delivery keeps the time that the first one chose', async () => {
    const wakeAt = new Date('2029-12-31T23:59:00Z');
    expect(await runAdapter(wait, { seconds: 90 }, contextOf({ now, wakeAt }).context)).toEqual({
      waited_until: wakeAt.toISOString(),
    });
  });
});
