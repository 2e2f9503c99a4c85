/**
 * One fault of operation, from a service at work to a service at rest: it is injected, has to be named while it lasts, is
 * repaired, and everything that was accepted has to end as if nothing had been.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { findViolations } from '../../harness/checker/evidence.ts';
import { createFinalWatch } from '../../harness/checker/final-watch.ts';
import { describeViolation } from '../../harness/checker/rules.ts';
import { waitForRest } from '../../harness/checker/stuck-runs.ts';
import { until } from '../../harness/until.ts';
import { asking, problemOf } from './ask.ts';
import { type Installation, REDELIVERED_MS } from './installation.ts';
import { CATCH_UP_SECONDS, startLoad } from './load.ts';

export interface FaultOfOperation {
  /** Resolves once the fault is there, to what takes it away. */
  inject(installation: Installation): Promise<() => Promise<void>>;
  /** It is named by one of these problems in `GET /health/system`; none: there is nothing to be named. */
  named: readonly string[];
  /** What `GET /executions/{id}/why` says of a run that it holds up: a cause, or the code of the problem that it answers; none: it holds up nothing. */
  why: readonly string[];
  /** Work may be given out twice while it lasts, as where a queue forgets who has what. */
  repeatsWork?: boolean;
  /** The times that are stored are not those of the machine, so nothing can be said by comparing them. */
  movesClock?: boolean;
  /** With a schedule that begins a run every so often: it goes on, and never begins more at once than it may catch up with. */
  schedule?: { everySeconds: number; timesSet: number };
  /** So long at least, once it is named. */
  lastsMs?: number;
}

export interface Endured {
  /** What should not have been, in words. */
  faults: string[];
  /** What was said while it lasted. */
  problems: string[];
  whys: string[];
  refused: string[];
  runs: number;
}

interface Explanation {
  summary?: string;
  root?: { cause?: { code?: string } };
  /** Of a problem document. */
  code?: string;
}

/** What compares a time of the database with one of the machine, or with one before its clock was set. */
const BY_THE_CLOCK: ReadonlySet<string> = new Set([
  'no action starts before all of its dependencies are committed',
  'attempts are numbered without gaps and end after they began',
  'no call is made before all dependencies are committed',
  'what is committed is not executed again',
]);

const LASTS_MS = 5_000;
const NAMED_MS = 15_000;
/** The slowest nets of the engine look every 30 s, and a fault that nobody meets any more is forgotten after half a minute. */
const WELL_MS = 120_000;
const QUIET_MS = 60_000;
const REST_MS = 180_000;

export async function endure(installation: Installation, fault: FaultOfOperation): Promise<Endured> {
  const { db, apiUrl, service, redis, queuePrefix, children } = installation;
  const ask = asking(apiUrl);
  const load = await startLoad(installation, ask);
  const watch = createFinalWatch(db);
  const faults: string[] = [];
  const problems = new Set<string>();
  const whys = new Set<string>();
  let going = true;
  const repeating = async (everyMs: number, work: () => Promise<unknown>) => {
    while (going) {
      await work().catch(() => undefined);
      await sleep(everyMs);
    }
  };
  const watching = repeating(500, () => watch.look());
  const probing = repeating(500, async () => {
    const alive = await ask.get('/livez');
    if (alive !== undefined && alive.status !== 200) faults.push(`/livez answered ${alive.status}`);
    for (const path of ['/workflows', `/workflows/executions/${load.accepted()[0]}`, '/health']) {
      const answer = await ask.get(path);
      // The health of a service that is not well is told with 503, whatever it is made of.
      const wrong = answer === undefined || path === '/health' ? undefined : problemOf(answer);
      if (wrong !== undefined) faults.push(`GET ${path}: ${wrong}`);
    }
  });
  const codesNow = async () => {
    const answer = await ask.get('/health/system');
    const { problems: found = [] } = (answer?.body ?? {}) as { problems?: Array<{ code: string; message: string }> };
    return answer === undefined ? undefined : found;
  };
  const isNamed = async () => {
    const found = (await codesNow()) ?? [];
    for (const { code, message } of found) problems.add(`${code}: ${message}`);
    return found.some(({ code }) => fault.named.includes(code));
  };
  /** Any run that is held up will do: which one is left to chance. */
  const isExplained = async (runIds: readonly string[]) => {
    for (const id of runIds) {
      const answer = await ask.get(`/executions/${id}/why`);
      if (answer === undefined) continue;
      const { root, code: problem, summary = '' } = answer.body as Explanation; // As the document has it.
      const code = answer.status === 200 ? root?.cause?.code : problem;
      whys.add(`${answer.status} ${code}: ${summary}`);
      const wrong = problemOf(answer);
      if (wrong !== undefined) faults.push(`why: ${wrong}`);
      if (code !== undefined && fault.why.includes(code)) return true;
    }
    return false;
  };
  try {
    await until(() => load.accepted().length >= 4, { what: 'runs are accepted' });
    await until(async () => (await codesNow())?.length === 0, { what: 'nothing is wrong before' });
    const held = await Promise.all([load.beginLong(), load.beginLong()]);
    await until(() => held.every((id) => service.calls.some(({ key }) => key?.startsWith(`${id}.`) === true)), {
      what: 'both are at work',
    });
    const scheduled = fault.schedule && (await load.beginSchedule(fault.schedule.everySeconds));
    const from = Date.now();
    const repair = await fault.inject(installation);
    try {
      if (fault.named.length === 0) {
        // It does no harm: what is begun now ends now.
        const id = await load.beginLong();
        await until(async () => (await db.query('SELECT FROM run WHERE id = $1 AND final', [id])).rowCount === 1, {
          what: 'a run that was begun meanwhile has ended',
        }).catch((error: unknown) => faults.push(String(error)));
      } else {
        await until(isNamed, {
          what: `it is named as ${fault.named.join(' or ')}`,
          timeoutMs: NAMED_MS,
          everyMs: 250,
        }).catch((error: unknown) => faults.push(String(error)));
      }
      if (fault.why.length > 0) {
        await until(() => isExplained([...held, ...load.accepted().slice(-4)]), {
          what: `a run is explained by ${fault.why.join(' or ')}`,
          timeoutMs: NAMED_MS,
          everyMs: 250,
        }).catch((error: unknown) => faults.push(String(error)));
      }
      await sleep(fault.lastsMs ?? LASTS_MS);
    } finally {
      await repair();
    }
    const to = Date.now();
    let left: string[] = [];
    await until(
      async () => {
        const found = await codesNow();
        left = (found ?? []).map(({ code, message }) => `${code}: ${message}`);
        return found?.length === 0 && (await ask.get('/ready'))?.status === 200;
      },
      { what: 'all is well', timeoutMs: WELL_MS, everyMs: 250 },
    ).catch(() => faults.push(`afterwards it is not well: ${left.join('; ')}`));
    const before = load.accepted().length;
    await until(() => load.accepted().length >= before + 4, { what: 'runs are accepted again' }).catch(
      (error: unknown) => faults.push(String(error)),
    );
    if (scheduled !== undefined && fault.schedule !== undefined) {
      const { everySeconds, timesSet } = fault.schedule;
      const count = await scheduled();
      await until(async () => (await scheduled()) > count + 1, { what: 'the schedule goes on' }).catch(
        (error: unknown) => faults.push(String(error)),
      );
      const slots = ((Date.now() - from) / 1_000 + timesSet * CATCH_UP_SECONDS) / everySeconds + 2;
      if ((await scheduled()) > slots)
        faults.push(`the schedule has begun ${await scheduled()} runs, where ${slots} are due`);
    }
    await load.stop();
    const stuck = await waitForRest(
      { db, redis: redis?.client, queuePrefix, apiUrl },
      { quietMs: QUIET_MS, totalMs: REST_MS },
    );
    going = false;
    await Promise.all([watching, probing]);
    await watch.look();
    const repeatsWork = fault.repeatsWork === true;
    const over = repeatsWork ? to + REDELIVERED_MS : to;
    const disturbance = { what: 'the fault', from, to: over, repeatsWork, holdsWork: true };
    const found = await findViolations(db, {
      calls: service.calls,
      disturbances: [disturbance, ...installation.stalls],
      promised: load.promised,
    });
    const violations = [...stuck, ...watch.violations(), ...found];
    const counted = violations.filter(({ rule }) => fault.movesClock !== true || !BY_THE_CLOCK.has(rule));
    faults.push(...counted.map(describeViolation));
    for (const { kind, pid, isAlive } of children) if (!isAlive()) faults.push(`the ${kind} ${pid} has ended`);
  } finally {
    going = false;
    await Promise.all([watching, probing]);
    await load.close();
  }
  faults.push(...load.surprises, ...ask.unanswered.map((what) => `no answer: ${what}`));
  return {
    faults: summed(faults),
    problems: [...problems],
    whys: summed([...whys]),
    refused: summed(load.refused),
    runs: load.promised.length,
  };
}

/** Each once, whichever run it was about, with how often it was. */
function summed(lines: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const line of lines) {
    const short = line.startsWith('I') ? line : line.replace(/[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}/g, '…');
    counts.set(short, (counts.get(short) ?? 0) + 1);
  }
  return [...counts].map(([line, count]) => (count === 1 ? line : `${line} (${count} times)`));
}
