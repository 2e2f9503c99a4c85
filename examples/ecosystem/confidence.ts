/** How well a pull request fits what was asked for: pure. */
import { z } from 'zod';
import { coverageOf, round, termsOf } from './text.ts';

/** As source_agent answers it; more may come, and any of it may be missing in what others send. */
export const pullRequest = z
  .looseObject({
    number: z.int(),
    title: z.string(),
    description: z.string(),
    files: z.array(z.looseObject({ path: z.string(), additions: z.int(), deletions: z.int() })),
    commits: z.array(z.looseObject({ message: z.string() })),
    checks: z.array(z.looseObject({ name: z.string(), passed: z.boolean() })),
    approvals: z.int(),
    requirements: z.array(z.string()),
  })
  .partial();
export type PullRequest = z.output<typeof pullRequest>;

export const confidence = z.object({
  confidence: z.number().min(0).max(1),
  level: z.enum(['low', 'medium', 'high']),
  factors: z.object({
    requirements: z.number().meta({ description: 'The share of the requirements that the pull request speaks of' }),
    tests: z.number().meta({ description: '1 when it changes tests beside code' }),
    checks: z.number().meta({ description: 'The share of its checks that passed' }),
    size: z.number().meta({ description: '1 up to 100 changed lines, 0 from 2,100 on' }),
    review: z.number().meta({ description: '1 when somebody approved' }),
  }),
  missing_requirements: z.array(z.string()),
  recommendation: z.string(),
});
export type Confidence = z.output<typeof confidence>;

const WEIGHTS = { requirements: 0.4, tests: 0.15, checks: 0.2, size: 0.1, review: 0.15 };
/** A requirement is met when so much of what it speaks of is spoken of. */
const MET = 0.5;
const SMALL_LINES = 100;
const LARGE_LINES = 2_100;
const HIGH = 0.75;
const MEDIUM = 0.5;

/** `requirements` beside those that the pull request names itself. */
export function confidenceOf(pull: PullRequest, requirements: readonly string[] = []): Confidence {
  const wanted = [...new Set([...(pull.requirements ?? []), ...requirements])];
  const spoken = termsOf(
    [
      pull.title ?? '',
      pull.description ?? '',
      ...(pull.commits ?? []).map(({ message }) => message),
      ...(pull.files ?? []).map(({ path }) => path.replaceAll(/[^\p{L}\p{N}]+/gu, ' ')),
    ].join('\n'),
  );
  const missing = wanted.filter((requirement) => coverageOf(termsOf(requirement), spoken) < MET);
  const factors = {
    requirements: wanted.length === 0 ? 0 : (wanted.length - missing.length) / wanted.length,
    tests: hasTests(pull) ? 1 : 0,
    checks: shareOf(pull.checks ?? []),
    size: sizeFactor(pull),
    review: (pull.approvals ?? 0) > 0 ? 1 : 0,
  };
  const sum = (Object.keys(WEIGHTS) as Array<keyof typeof WEIGHTS>) // The keys of a literal object.
    .reduce((total, name) => total + WEIGHTS[name] * factors[name], 0);
  const value = round(sum);
  const level = value >= HIGH ? 'high' : value >= MEDIUM ? 'medium' : 'low';
  return {
    confidence: value,
    level,
    factors: { ...factors, requirements: round(factors.requirements), checks: round(factors.checks) },
    missing_requirements: missing,
    recommendation: recommend(level, missing),
  };
}

function hasTests({ files }: PullRequest): boolean {
  return (files ?? []).some(({ path }) => /(^|[/._-])(tests?|spec)([/._-]|$)/i.test(path));
}

function shareOf(checks: ReadonlyArray<{ passed: boolean }>): number {
  return checks.length === 0 ? 0 : checks.filter(({ passed }) => passed).length / checks.length;
}

function sizeFactor({ files }: PullRequest): number {
  if (files === undefined || files.length === 0) return 0;
  const lines = files.reduce((sum, { additions, deletions }) => sum + additions + deletions, 0);
  const over = Math.min(Math.max(lines - SMALL_LINES, 0), LARGE_LINES - SMALL_LINES);
  return round(1 - over / (LARGE_LINES - SMALL_LINES));
}

function recommend(level: Confidence['level'], missing: readonly string[]): string {
  if (missing.length > 0) return `Ask for what is missing: ${missing.join('; ')}`;
  return { high: 'Merge it', medium: 'Let somebody else look at it', low: 'Send it back' }[level];
}
