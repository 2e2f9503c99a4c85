/** The tarball of the SDK in an empty project: in Node over a restart of the API, compiled, and bundled for browsers. */
import { execFile, spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { createContext, runInContext } from 'node:vm';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { projectRoot } from '../../src/project-root.ts';
import { processesTest } from '../support/processes.ts';
import { openSdkProject, type SdkProject } from '../support/sdk-project.ts';

const execute = promisify(execFile);

const DEFINITION = `{
  name: 'greeting',
  parameters: [{ name: 'word', type: 'string' }],
  actions: [
    { action_id: 'rest', action_type: 'wait', config: { seconds: 2 } },
    { action_id: 'say', action_type: 'transform', depends_on: ['rest'], config: { outputs: { said: 'params.word' } } },
  ],
}`;

const PROGRAM = `
import { createClient } from 'bullmq-orchestrator-sdk';
const client = createClient({ url: process.argv[2], timeoutMs: 5_000 });
await client.api.createWorkflow({ body: ${DEFINITION} });
const run = client.workflows.run('greeting', { word: 'hello' });
await run.id();
console.log('started');
const events = [];
const following = (async () => { for await (const event of run.events()) if (event.id !== undefined) events.push(event.id); })();
const output = await run.result();
await following;
console.log(JSON.stringify({ output, events: events.length, different: new Set(events).size }));
`;

const TESTED = `
import { defineWorkflow } from 'bullmq-orchestrator-sdk';
import { testWorkflow } from 'bullmq-orchestrator-sdk/testing';
const orders = defineWorkflow({ name: 'orders', parameters: { id: { type: 'string' } } }, ({ params, action }) => {
  const order = action('order', 'external', { config: { topic: 'orders', input: params.id } });
  const rest = action('rest', 'wait', { config: { seconds: 86_400 }, depends_on: [order] });
  const twice = action('twice', 'transform', { config: { outputs: { n: 'order.amount * 2' } }, depends_on: [rest] });
  return { amount: order.output.amount, twice: twice.output.n };
});
const { status, output, tasks, endedAt } = await testWorkflow(orders, {
  parameters: { id: 'o7' },
  mocks: {
    order({ input }, { attempt }) {
      if (attempt === 1) throw new Error('not yet');
      return { amount: Number(input.slice(1)) };
    },
  },
  now: '2030-01-01T00:00:00Z',
});
console.log(JSON.stringify({ status, output, attempts: tasks.order.attempts, endedAt }));
`;

const TYPED = `
import { createClient, NotFoundError, type types } from 'bullmq-orchestrator-sdk';
import { type TestRun, testWorkflow } from 'bullmq-orchestrator-sdk/testing';
const client = createClient({ url: '' });
export const health: Promise<types.Health> = client.api.getHealth();
export const code: string = new NotFoundError(404, {}).code;
export const tested: Promise<TestRun> = testWorkflow({}, { mocks: { a: 1 } });
// @ts-expect-error there is no such operation
client.api.getWeather();
// @ts-expect-error the id is missing
client.api.getWorkflow({});
`;

const BROWSER = `
import { createClient } from 'bullmq-orchestrator-sdk';
export const run = async (url) => {
  const client = createClient({ url, timeoutMs: 30_000 });
  const made = await client.api.createWorkflow({ body: ${DEFINITION.replace("'greeting'", "'from a page'")} });
  const handle = client.workflows.run({ id: made.workflow_id }, { word: 'hello' });
  const output = await handle.result();
  let events = 0;
  for await (const event of handle.events()) events += 1;
  return JSON.stringify({ output, followed: events > 0 });
};
`;

/** What pages have. Of Node there is nothing in it. */
const WEB = {
  fetch,
  AbortController,
  AbortSignal,
  URLSearchParams,
  TextDecoder,
  Headers,
  Response,
  crypto,
  setTimeout,
  clearTimeout,
  setInterval,
  clearInterval,
};

let project: SdkProject;
beforeAll(async () => {
  process.stdout.write('not run: the SDK in a real browser: no browser is installed\n');
  project = await openSdkProject();
});
afterAll(() => project?.close());

describe('the tarball of the SDK', () => {
  const test = processesTest('postgres');

  test('a program runs a workflow by name, and its result and its events survive a kill -9 of the API', async ({
    processes,
  }) => {
    const api = await processes.start('api');
    await processes.start('worker');
    const file = await project.write('main.mjs', PROGRAM);
    const child = spawn(process.execPath, [file, processes.api.url], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines: string[] = [];
    try {
      for await (const line of createInterface(child.stdout)) {
        lines.push(line);
        if (line !== 'started') continue;
        await api.end('SIGKILL');
        await processes.start('api');
      }
    } finally {
      child.kill();
    }
    expect(lines[0]).toBe('started');
    const { output, events, different } = JSON.parse(lines[1] ?? '{}') as Record<string, unknown>;
    expect(output).toEqual({ say: { said: 'hello' } });
    expect(events).toBeGreaterThan(2);
    expect(different).toBe(events);
  });

  test('a page runs it with what browsers have and nothing of Node', async ({ processes }) => {
    await processes.start('api');
    await processes.start('worker');
    const file = await project.write('page.mjs', BROWSER);
    const { outputFiles } = await build({
      entryPoints: [file],
      bundle: true,
      platform: 'browser',
      format: 'iife',
      globalName: 'page',
      write: false,
      absWorkingDir: project.folder,
    });
    const page = createContext({ ...WEB });
    runInContext(outputFiles[0]?.text ?? '', page);
    const answer = await (runInContext(`page.run('${processes.api.url}')`, page) as Promise<string>); // As it is written above.
    expect(JSON.parse(answer)).toEqual({ output: { say: { said: 'hello' } }, followed: true });
  });

  test('a definition is tested without a service', async ({ processes: _ }) => {
    const file = await project.write('tested.mjs', TESTED);
    const { stdout } = await execute(process.execPath, [file], { cwd: project.folder });
    expect(JSON.parse(stdout)).toEqual({
      status: 'completed',
      output: { amount: 7, twice: 14 },
      attempts: 2,
      endedAt: '2030-01-02T00:00:02.000Z',
    });
  });

  test('its types say which operations there are and what they need', async ({ processes: _ }) => {
    const file = await project.write('typed.ts', TYPED);
    const compiler = path.join(projectRoot(), 'node_modules/typescript/bin/tsc');
    const flags = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'nodenext', '--lib', 'es2023,dom'];
    await execute(process.execPath, [compiler, ...flags, '--types', '', file], { cwd: project.folder });
  });
});
