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

const TYPED = `
import { createClient, NotFoundError, type types } from 'bullmq-orchestrator-sdk';
const client = createClient({ url: '' });
export const health: Promise<types.Health> = client.api.getHealth();
export const code: string = new NotFoundError(404, {}).code;
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

  test('its types say which operations there are and what they need', async ({ processes: _ }) => {
    const file = await project.write('typed.ts', TYPED);
    const compiler = path.join(projectRoot(), 'node_modules/typescript/bin/tsc');
    const flags = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'nodenext', '--lib', 'es2023,dom'];
    await execute(process.execPath, [compiler, ...flags, '--types', '', file], { cwd: project.folder });
  });
});
