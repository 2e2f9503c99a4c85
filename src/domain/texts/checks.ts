/**
 * Checks whose cost depends on what tenants wrote: expressions, patterns, schemas, and values that schemas are
 * tried on. Pure code requests such checks here and does not evaluate itself; they may run where they can be stopped.
 */
import type { Json } from '../../schemas/json.ts';
import type { FieldFault } from '../errors.ts';

export interface Checks {
  expression(cel: string): CheckedExpression;
  /** What is wrong with a pattern; undefined when nothing is. */
  patternFault(pattern: string): string | undefined;
  /** Whether a pattern that has no fault is found in the text. */
  matches(pattern: string, text: string): boolean;
  /** Why a JSON Schema cannot be used, with paths into it. */
  schemaFaults(schema: Json): readonly FieldFault[];
  /** What of a value does not fit a schema that has no faults, with paths relative to the value. */
  valueFaults(schema: Json, value: Json): readonly FieldFault[];
}

export interface CheckedExpression {
  fault?: string | undefined;
  /** The variables that it reads. */
  names: readonly string[];
}

export type Question =
  | { about: 'expression'; cel: string }
  | { about: 'pattern'; pattern: string }
  | { about: 'match'; pattern: string; text: string }
  | { about: 'schema'; schema: Json }
  | { about: 'value'; schema: Json; value: Json };

/** As JSON has it: null for what has no fault. */
export type Answer =
  | { names: readonly string[]; fault: string | null }
  | string
  | null
  | boolean
  | readonly FieldFault[];

export function answerOf(question: Question, checks: Checks): Answer {
  switch (question.about) {
    case 'expression': {
      const { fault, names } = checks.expression(question.cel);
      return { names, fault: fault ?? null };
    }
    case 'pattern':
      return checks.patternFault(question.pattern) ?? null;
    case 'match':
      return checks.matches(question.pattern, question.text);
    case 'schema':
      return checks.schemaFaults(question.schema);
    case 'value':
      return checks.valueFaults(question.schema, question.value);
  }
}

/** Of the expressions of one definition, together; each that stands there more than once counts once. */
export const MAX_DEFINITION_EXPRESSIONS = 200_000;
/** Of the parameters of one definition. */
export const MAX_DEFINITION_PATTERNS = 100;

/** The same, for one definition: what goes beyond its limits is a fault of whatever comes last. */
export function boundedChecks(checks: Checks): Checks {
  const expressions = new Set<string>();
  const patterns = new Set<string>();
  let characters = 0;
  return {
    ...checks,
    expression(cel) {
      if (!expressions.has(cel)) characters += cel.length;
      expressions.add(cel);
      if (characters <= MAX_DEFINITION_EXPRESSIONS) return checks.expression(cel);
      const fault = `with this one the expressions of the definition have more than ${MAX_DEFINITION_EXPRESSIONS} characters together`;
      return { fault, names: [] };
    },
    patternFault(pattern) {
      patterns.add(pattern);
      if (patterns.size <= MAX_DEFINITION_PATTERNS) return checks.patternFault(pattern);
      return `is one pattern too many: the parameters of a definition have at most ${MAX_DEFINITION_PATTERNS}`;
    },
  };
}
