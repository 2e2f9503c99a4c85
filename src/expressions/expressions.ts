/**
 * Evaluates CEL and checks texts of tenants in threads that are killed at a deadline (`thread-pool.ts`).
 * Nothing of it is parsed here: the variables that an expression may read are found in its tokens.
 */

import { OrchestratorError } from '../domain/errors.ts';
import type { Answer, Question } from '../domain/texts/checks.ts';
import type { Json } from '../schemas/json.ts';
import { scanCel } from './scan-cel.ts';
import { createThreadPool } from './thread-pool.ts';

export interface Expressions {
  /**
   * Throws an OrchestratorError `expression_failed`; `expression_timeout`, which may pass on a machine that is less busy; or
   * `expressions_busy`, when it was not started. Only the variables that the expression names are read.
   */
  evaluate(expression: string, variables: Record<string, Json>, by: { tenantId: string }): Promise<Json>;
  /** Answers come in the order of the questions. Throws as `evaluate` does. */
  answer(tenantId: string, questions: readonly Question[]): Promise<Answer[]>;
  close(): Promise<void>;
}

export interface ExpressionOptions {
  timeoutMs?: number;
  maxResultBytes: number;
  threads?: number;
  /** How long an evaluation may wait for a thread. */
  waitMs?: number;
  /** How many evaluations of a tenant may wait. */
  maxWaiting?: number;
  /** The maximum expected wait, estimated from the duration of the tenant's evaluations; undefined: no limit. */
  patienceMs?: number;
}

/** Definitions from before the limit of 2,000 characters may have as many. */
const MAX_EVALUATED_CHARACTERS = 10_000;
/** The timeout of questions. They are bounded, so they take less, unless the machine is busy. */
const ANSWER_TIMEOUT_MS = 5_000;
/** The maximum weight of a batch of questions, so that a large definition does not block others. */
const MAX_WEIGHT = 16_000;

interface Evaluation {
  question: Question;
  /** The questions of one request: when one of them fails, the others are not needed. */
  together: { failed: boolean };
  resolve(answer: Answer): void;
  reject(error: unknown): void;
}

export function createExpressions(options: ExpressionOptions): Expressions {
  const { timeoutMs = 1_000, threads = 2, waitMs = 5_000, maxWaiting = 1_000, maxResultBytes } = options;
  const pool = createThreadPool({ threads, maxResultBytes, waitMs, maxWaiting, patienceMs: options.patienceMs });
  /** The open questions by tenant. Batches go to the pool one after the other, so they cannot exceed its queue. */
  const pending = new Map<string, Evaluation[]>();

  async function answerAll(tenantId: string, open: Evaluation[]): Promise<void> {
    for (let some = takeSome(open); some.length > 0; some = takeSome(open)) {
      try {
        const questions = some.map(({ question }) => question);
        const answers = JSON.parse(await pool.run(tenantId, { questions }, ANSWER_TIMEOUT_MS)) as Answer[]; // The thread's own JSON.stringify made it.
        for (const [index, { resolve }] of some.entries()) resolve(answers[index] ?? null);
      } catch (error) {
        for (const { reject, together } of some) {
          together.failed = true;
          reject(error);
        }
      }
    }
    pending.delete(tenantId);
  }

  return {
    async evaluate(expression, variables, { tenantId }) {
      if (expression.length > MAX_EVALUATED_CHARACTERS) {
        const reason = `the expression is longer than ${MAX_EVALUATED_CHARACTERS} characters`;
        throw new OrchestratorError('expression_failed', `The expression failed: ${reason}`);
      }
      const named = [...scanCel(expression).names].filter((name) => Object.hasOwn(variables, name));
      const used = Object.fromEntries(named.map((name) => [name, variables[name] ?? null]));
      const result = await pool.run(tenantId, { expression, variables: used }, timeoutMs);
      return JSON.parse(result) as Json; // The thread's own JSON.stringify made it.
    },
    answer(tenantId, questions) {
      const open = pending.get(tenantId) ?? [];
      const together = { failed: false };
      const answers = questions.map(
        (question) => new Promise<Answer>((resolve, reject) => open.push({ question, together, resolve, reject })),
      );
      if (!pending.has(tenantId)) {
        pending.set(tenantId, open);
        void answerAll(tenantId, open);
      }
      return Promise.all(answers);
    },
    close: () => pool.close(),
  };
}

/** Takes the next batch; a single question may weigh more. */
function takeSome(open: Evaluation[]): Evaluation[] {
  const some: Evaluation[] = [];
  let weight = 0;
  let passed = 0;
  for (const one of open) {
    if (!one.together.failed) {
      weight += weightOf(one.question);
      if (some.length > 0 && weight > MAX_WEIGHT) break;
      some.push(one);
    }
    passed += 1;
  }
  open.splice(0, passed);
  return some;
}

/** An estimate of its duration. */
function weightOf(question: Question): number {
  switch (question.about) {
    case 'expression':
      return 50 + question.cel.length;
    case 'pattern':
      return 200 + 4 * question.pattern.length;
    case 'match':
      return 200 + question.text.length;
    case 'schema':
      return MAX_WEIGHT / 4;
    case 'value':
      return MAX_WEIGHT;
  }
}
