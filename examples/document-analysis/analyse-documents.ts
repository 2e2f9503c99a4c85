/** Runs one workflow per document and compares what comes out with what is computed directly. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { type Orchestrator, openOrchestrator, type Target, untilEnded } from '../orchestrator.ts';
import { type Analysis, analyse } from './analysis.ts';
import { findDocuments } from './documents.ts';
import { formatTable, median, type Row } from './report.ts';
import { type Services, startServices, storedForm, storeId } from './services.ts';
import { documentWorkflow } from './workflow.ts';

export interface Options extends Target {
  /** 1 to 1,000: one request begins them all. */
  count: number;
  folder: string;
  say(line: string): void;
}
export interface Report {
  rows: Row[];
  /** What differs, one line each; empty when all is as it must be. */
  differences: string[];
}

const PATIENCE_MS = 300_000;

const created = z.object({ workflow_id: z.string() });
const begun = z.object({ items: z.array(z.object({ execution_id: z.string() })) });
const execution = z.object({
  execution_id: z.string(),
  status: z.string(),
  output: z.unknown(),
  error: z.unknown(),
  duration_ms: z.number().nullable(),
  tasks: z.array(z.object({ action_id: z.string(), status: z.string(), attempts: z.number() })),
});
type Execution = z.output<typeof execution>;

export async function analyseDocuments(options: Options): Promise<Report> {
  const { folder, count, say } = options;
  const api = openOrchestrator(options);
  const documents = findDocuments(folder, count);
  const services = await startServices(folder, documents);
  try {
    say(`${documents.length} Markdown files of ${folder}`);
    say(`Services: source ${services.sourceUrl}, analysis ${services.analysisUrl}, store ${services.storeUrl}`);
    const { workflow_id: workflowId } = await api.post('/workflows', documentWorkflow(services), created);
    say(`Workflow: ${api.url}/workflows/${workflowId}`);
    const beganAt = performance.now();
    const ids = await begin(api, workflowId, documents, say);
    const deadline = performance.now() + PATIENCE_MS;
    for (const id of ids) await untilEnded(api, id, deadline);
    const seconds = (performance.now() - beganAt) / 1000;
    const executions: Execution[] = [];
    for (const id of ids) executions.push(await api.get(`/workflows/executions/${id}`, execution));
    const report = compare(folder, documents, executions, services);
    say(`\n${formatTable(report.rows)}\n`);
    for (const line of summary(report, executions, services, seconds)) say(line);
    for (const line of addresses(api.url, ids)) say(line);
    return report;
  } finally {
    await services.close();
  }
}

/** Sent twice with the same keys, as a client does that did not get the first answer: the runs are the same. */
async function begin(
  api: Orchestrator,
  workflowId: string,
  documents: readonly string[],
  say: (line: string) => void,
): Promise<string[]> {
  const batch = randomUUID();
  const items = documents.map((document) => ({
    parameters: { document },
    idempotency_key: `${batch}.${storeId(document)}`,
  }));
  const send = async () => {
    const answer = await api.post(`/workflows/${workflowId}/executions`, { items }, begun);
    return answer.items.map((item) => item.execution_id);
  };
  const ids = await send();
  if (!isDeepStrictEqual(await send(), ids)) throw new Error('The same idempotency keys began other runs.');
  say(`Begun: ${new Set(ids).size} runs; the same request sent again began none`);
  return ids;
}

function compare(
  folder: string,
  documents: readonly string[],
  executions: readonly Execution[],
  { stored }: Services,
): Report {
  const differences: string[] = [];
  const rows = documents.map((document, index): Row => {
    const run = executions[index];
    const analysis = analyse(document, readFileSync(path.join(folder, document), 'utf8'));
    const found = run === undefined ? ['there is no run'] : differencesOf(analysis, run, stored.get(document));
    differences.push(...found.map((difference) => `${document}: ${difference}`));
    return {
      analysis,
      status: run?.status ?? 'missing',
      durationMs: run?.duration_ms ?? null,
      equal: found.length === 0,
    };
  });
  return { rows, differences };
}

function differencesOf(analysis: Analysis, run: Execution, stored: unknown): string[] {
  const expected = {
    ...storedForm(analysis),
    stored_as: storeId(analysis.document),
    notified: [{ channel: 'log' }],
  };
  const found: string[] = [];
  if (run.status !== 'completed') found.push(`the run is ${run.status}: ${JSON.stringify(run.error)}`);
  if (!isDeepStrictEqual(run.output, expected)) found.push('the output of the run is not the direct result');
  if (!isDeepStrictEqual(stored, storedForm(analysis))) found.push('what was stored is not the direct result');
  return found;
}

function summary(
  { rows, differences }: Report,
  executions: readonly Execution[],
  { stored, calls }: Services,
  seconds: number,
): string[] {
  const completed = executions.filter(({ status }) => status === 'completed').length;
  const attempts = executions.flatMap(({ tasks }) => tasks.map((task) => task.attempts));
  const durations = executions.flatMap(({ duration_ms: ms }) => (ms === null ? [] : [ms]));
  const total = attempts.reduce((sum, count) => sum + count, 0);
  return [
    `Runs      ${completed} of ${executions.length} completed in ${seconds.toFixed(1)} s; half of them within ${median(durations)} ms`,
    `Tasks     ${attempts.length}, attempts ${total}`,
    `Requests  ${[...calls].map(([path, count]) => `${path} ${count}`).join(', ')}`,
    `Stored    ${stored.size} documents`,
    `Equal     ${rows.filter(({ equal }) => equal).length} of ${rows.length} to what is computed directly`,
    ...differences.map((difference) => `DIFFERS   ${difference}`),
  ];
}

/** A job's name in the queue is made of the run, its epoch (1: never retried by hand) and the action. */
function addresses(url: string, ids: readonly string[]): string[] {
  const last = ids.at(-1);
  if (last === undefined) return [];
  return [
    `Last run  ${url}/workflows/executions/${last}`,
    `          ${url}/admin/queues/queue/notification/${last}.1.notify (Bull Board keeps it for five minutes)`,
  ];
}
