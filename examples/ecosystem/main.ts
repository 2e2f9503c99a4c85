/** `npm run example:ecosystem`, beside a running service, or with it: `-- --with-orchestrator`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { endRequests } from '../../src/launch/end-requests.ts';
import { projectRoot } from '../../src/project-root.ts';
import { endWith, openOrchestrator } from '../orchestrator.ts';
import { keepRegistered } from './registration.ts';
import { SERVICES } from './services/all.ts';
import { findDatabase, readSettings } from './settings.ts';
import { openStage, type Stage } from './stage.ts';

const START_MS = 180_000;
const POLL_MS = 200;

async function main(): Promise<boolean> {
  const settings = readSettings(process.env, process.argv.slice(2));
  const say = (line: string) => console.log(line);
  const startedByNpm = process.env['npm_lifecycle_event'] !== undefined;
  const { ending } = endRequests({ signals: ['SIGINT', 'SIGTERM', 'SIGHUP'], startedByNpm });
  const orchestrator = settings.withOrchestrator ? startOrchestrator() : undefined;
  try {
    const databaseUrl = orchestrator
      ? await untilStarted(settings.target.url, orchestrator)
      : await findDatabase(process.env);
    const stage = await openStage({
      services: SERVICES,
      host: settings.host,
      ports: settings.ports,
      controlPort: settings.controlPort,
      databaseUrl,
      ...(settings.advertise === undefined ? {} : { advertise: settings.advertise }),
    });
    const registration = keepRegistered({
      api: openOrchestrator(settings.target),
      services: stage.services,
      ttlSeconds: settings.ttlSeconds,
      say,
    });
    try {
      for (const [name, fault] of settings.faults) await stage.afflict(name, fault);
      describe(stage, say);
      const ended = new Promise<void>((resolve) => ending.addEventListener('abort', () => resolve(), { once: true }));
      await Promise.race([ended, registration.ready.then(() => say(`Registered at ${settings.target.url}`))]);
      await ended;
      say('Taking the services out …');
    } finally {
      await registration.close();
      await stage.close();
    }
    return true;
  } finally {
    await stopOrchestrator(orchestrator);
  }
}

function describe({ services, controlUrl }: Stage, say: (line: string) => void): void {
  for (const { name, url, endpoints } of services.values()) say(`${name.padEnd(17)} ${url}  ${endpoints.join(' ')}`);
  say(`${'faults'.padEnd(17)} ${controlUrl}/_faults`);
}

/** In a group of its own: Ctrl-C must not reach it before the services have been taken out of its registry. */
function startOrchestrator(): ChildProcess {
  const program = path.join(projectRoot(), 'dist', 'bin', 'start.js');
  return spawn(process.execPath, [program], { stdio: 'inherit', detached: true });
}

/** The address of its database, once it answers. */
async function untilStarted(url: string, orchestrator: ChildProcess): Promise<string | undefined> {
  const deadline = performance.now() + START_MS;
  for (;;) {
    const answer = await fetch(`${url}/ready`).catch(() => undefined);
    if (answer?.ok) return findDatabase(process.env);
    if (orchestrator.exitCode !== null) throw new Error('The orchestrator ended.');
    if (performance.now() > deadline) throw new Error(`Nothing answers at ${url}.`);
    await sleep(POLL_MS);
  }
}

async function stopOrchestrator(orchestrator: ChildProcess | undefined): Promise<void> {
  if (orchestrator === undefined || orchestrator.exitCode !== null) return;
  const exited = once(orchestrator, 'exit');
  orchestrator.kill('SIGINT');
  await exited;
}

await endWith(main());
