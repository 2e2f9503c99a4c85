/**
 * Lets pure code ask about texts of tenants (`domain/texts/checks.ts`) that are checked elsewhere. The code runs, and what it asks
 * is written down and answered as if nothing were wrong; then the questions are answered together, and it runs again with the
 * answers. It ends with the run that asks nothing new, so it must do nothing but compute.
 */
import { type Answer, answerOf, type Checks, type Question } from '../../domain/texts/checks.ts';
import type { Json } from '../../schemas/json.ts';

/** Checks texts where that can be stopped. Answers come in the order of the questions. */
export interface TextChecker {
  /** Throws an OrchestratorError: `expressions_busy`, `expression_timeout`, `expression_failed`. */
  answer(tenantId: string, questions: readonly Question[]): Promise<Answer[]>;
}

export async function withChecks<Result>(
  checker: TextChecker,
  tenantId: string,
  work: (checks: Checks) => Result,
): Promise<Result> {
  const answered = new Map<string, Answer>();
  for (;;) {
    const open = new Map<string, Question>();
    let ended: { result: Result } | { error: unknown };
    try {
      ended = { result: work(askingChecks(answered, open)) };
    } catch (error) {
      ended = { error };
    }
    if (open.size === 0) {
      if ('error' in ended) throw ended.error;
      return ended.result;
    }
    const keys = [...open.keys()];
    const answers = await checker.answer(tenantId, [...open.values()]);
    for (const [index, key] of keys.entries()) answered.set(key, answers[index] ?? null);
  }
}

/** Answers by the code itself, at once. For texts that are our own, and for where the process may be ended at any moment. */
export function answeringAtOnce(checks: Checks): TextChecker {
  return { answer: async (_tenantId, questions) => questions.map((question) => answerOf(question, checks)) };
}

// An answer has the kind that its question asks for: both are made by `answerOf`.
function askingChecks(answered: ReadonlyMap<string, Answer>, open: Map<string, Question>): Checks {
  function ask<Kind extends Answer>(key: string, question: Question, meanwhile: Kind): Kind {
    const answer = answered.get(key);
    if (answer !== undefined) return answer as Kind;
    open.set(key, question);
    return meanwhile;
  }
  return {
    expression(cel) {
      const meanwhile: { names: readonly string[]; fault: string | null } = { names: [], fault: null };
      const { names, fault } = ask(`expression ${cel}`, { about: 'expression', cel }, meanwhile);
      return { names, fault: fault ?? undefined };
    },
    patternFault: (pattern) =>
      ask<string | null>(`pattern ${pattern}`, { about: 'pattern', pattern }, null) ?? undefined,
    matches: (pattern, text) =>
      ask<boolean>(`match ${textOf([pattern, text])}`, { about: 'match', pattern, text }, true),
    schemaFaults: (schema) => ask(`schema ${textOf(schema)}`, { about: 'schema', schema }, []),
    valueFaults: (schema, value) => ask(`value ${textOf([schema, value])}`, { about: 'value', schema, value }, []),
  };
}

function textOf(value: Json): string {
  return JSON.stringify(value);
}
