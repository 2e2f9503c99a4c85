/** Answers to published tasks become outcomes of their attempts. What follows from them is the engine's own work. */
import { taskJobId } from '../../../domain/graph/compile.ts';
import { taskOf } from '../../../domain/runs/parts.ts';
import type { Plans } from '../../../engine/accept/plans.ts';
import { makeDue } from '../../../engine/deliver/wake-tasks.ts';
import type { Failpoint } from '../../../engine/ports/failpoint.ts';
import type { Logger } from '../../../engine/ports/logger.ts';
import type { FlowQueue } from '../../../engine/ports/queue.ts';
import type { RunStore } from '../../../engine/ports/runs.ts';
import type { FlowMetrics, MessageResult } from '../metrics.ts';
import type { HandleMessages, IncomingMessage, PoisonCode } from '../transport/ports.ts';
import { type Answer, afterVerdict, decideAnswer, type PublishedTask, type Verdict } from './domain.ts';
import type { AnsweredTask, AnswerStore, Change, LateEffect, TaskKey } from './ports.ts';
import { readAnswer, type TaskAnswer } from './read-answer.ts';

/** The action type, and so the queue, of published tasks. */
const EXTERNAL = 'external';
/** Another attempt was opened between a look and a write: that is seen by the next look. */
const MAX_TRIES = 5;

export interface TakeAnswersDeps {
  answers: AnswerStore;
  plans: Plans;
  runs: Pick<RunStore, 'checkNow'>;
  queue: Pick<FlowQueue, 'promote'>;
  /** What cannot be read is a dead letter, and stored when this resolves. */
  poison(message: IncomingMessage, code: PoisonCode, error: string): Promise<unknown>;
  topics: Readonly<Record<Answer['outcome'], string>>;
  maxBytes: number;
  /** The fault lies in the data of a statement. */
  isDataFault(error: unknown): boolean;
  metrics: Pick<FlowMetrics, 'message' | 'lateAnswer'>;
  failpoint: Failpoint;
  log: Logger;
}

interface Taken {
  answer: TaskAnswer;
  message: IncomingMessage;
}

/** What a batch of answers brings about. */
interface Decided {
  verdicts: Verdict[];
  woken: Array<TaskKey & { epoch: number }>;
  compensating: Set<string>;
}

export function createTakeAnswers(deps: TakeAnswersDeps): HandleMessages {
  const { answers, topics, log, metrics } = deps;

  /** A value that the database does not take spoils a batch: its answers are taken one by one then. */
  async function take(batch: readonly Taken[]): Promise<void> {
    try {
      await commit(batch);
    } catch (error) {
      if (!deps.isDataFault(error)) throw error;
      const [only, ...others] = batch;
      if (only === undefined) return;
      if (others.length > 0) for (const one of batch) await take([one]);
      else await spoil(only.message, 'invalid_message', 'The database does not take its output');
    }
  }

  async function commit(batch: readonly Taken[]): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      const keys = batch.map(({ answer }) => ({ runId: answer.runId, actionId: answer.taskId }));
      const decided = await answers.decide(keys, async (tasks, locked) => {
        const { changes, nexts, effects, ...rest } = await decideAll(deps.plans, batch, tasks);
        await locked.change(changes);
        if (!(await locked.completeNext(nexts))) return false;
        await locked.lateEffects(effects);
        await deps.failpoint('answers.beforeCommit');
        return rest;
      });
      if (decided !== false) return after(batch, decided);
      if (tries === MAX_TRIES) throw new Error('attempts are opened while answers are taken');
    }
  }

  async function after(batch: readonly Taken[], { verdicts, woken, compensating }: Decided): Promise<void> {
    await deps.failpoint('answers.afterCommit');
    batch.forEach(({ answer, message }, index) => {
      const verdict = verdicts[index] ?? { is: 'unknown' };
      report(answer, message.topic, verdict);
    });
    const jobs = woken.map(({ runId, epoch, actionId }) => ({
      queue: EXTERNAL,
      jobId: taskJobId(runId, epoch, actionId),
    }));
    // The wakes are counted: what is not made due here is found by the reconciler.
    if (jobs.length > 0) await makeDue(deps, woken[0]?.runId ?? '', jobs);
    for (const runId of compensating) await deps.runs.checkNow(runId);
  }

  function report({ runId, taskId, outcome, attempt }: TaskAnswer, topic: string, { is }: Verdict): void {
    const result = RESULTS[is];
    metrics.message(topic, result);
    if (result === 'late') metrics.lateAnswer();
    if (result === 'taken') return;
    const fields = { run_id: runId, task_id: taskId, topic, outcome, ...(attempt === undefined ? {} : { attempt }) };
    if (is === 'unknown') log.warn('task_answer_unknown', fields);
    else log.info(`task_answer_${is}`, fields);
  }

  async function spoil(message: IncomingMessage, code: PoisonCode, error: string): Promise<void> {
    await deps.poison(message, code, error);
    metrics.message(message.topic, 'poison');
  }

  return async function handle(messages) {
    const batch: Taken[] = [];
    for (const message of messages) {
      const read = readAnswer(message, message.topic === topics.failed ? 'failed' : 'done', deps.maxBytes);
      if (read.ok) batch.push({ answer: read.answer, message });
      else await spoil(message, read.code, read.error);
    }
    if (batch.length > 0) await take(batch);
    return messages.length;
  };
}

const RESULTS: Readonly<Record<Verdict['is'], MessageResult>> = {
  completes: 'taken',
  completes_next: 'taken',
  fails: 'taken',
  late_effect: 'late',
  late: 'late',
  repeated: 'repeated',
  unknown: 'ignored',
};

/** One after the other: what one answer changes counts for the next. */
async function decideAll(plans: Plans, batch: readonly Taken[], tasks: readonly AnsweredTask[]) {
  const known = new Map(tasks.map((task) => [keyOf(task.runId, task.actionId), task]));
  const states = new Map<string, PublishedTask>();
  const changes = new Map<string, Change>();
  const nexts = new Map<string, Change>();
  const effects: LateEffect[] = [];
  const decided: Decided = { verdicts: [], woken: [], compensating: new Set() };
  const woken = new Map<string, TaskKey & { epoch: number }>();
  for (const { answer } of batch) {
    const key = keyOf(answer.runId, answer.taskId);
    const task = known.get(key);
    if (task === undefined || (answer.tenantId !== undefined && answer.tenantId !== task.tenantId)) {
      decided.verdicts.push({ is: 'unknown' });
      continue;
    }
    const { tenantId, runId, actionId } = task;
    const action = taskOf(await plans.of(task.of), actionId)?.action;
    const state = states.get(key) ?? { ...task, maxAttempts: action?.retry.max_attempts ?? 1 };
    const verdict = decideAnswer(answer, state);
    decided.verdicts.push(verdict);
    states.set(key, afterVerdict(state, verdict));
    const change = { ...answer, tenantId };
    if (verdict.is === 'completes' || verdict.is === 'fails') {
      changes.set(verdict.attempt.id, { ...change, attemptId: verdict.attempt.id });
      woken.set(key, { runId, actionId, epoch: task.epoch });
    } else if (verdict.is === 'completes_next') {
      nexts.set(verdict.after.id, { ...change, attemptId: verdict.after.id });
      woken.set(key, { runId, actionId, epoch: task.epoch });
    } else if (verdict.is === 'late_effect') {
      const { epoch, number: attempt } = verdict.attempt;
      const { output } = answer;
      effects.push({
        ...{ runId, actionId, tenantId, epoch, attempt, output },
        isCompensated: action?.compensate !== undefined,
      });
      if (task.compensates) decided.compensating.add(runId);
    }
  }
  decided.woken = [...woken.values()];
  return { ...decided, changes: [...changes.values()], nexts: [...nexts.values()], effects };
}

function keyOf(runId: string, actionId: string): string {
  return `${runId}\0${actionId}`;
}
