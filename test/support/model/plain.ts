/** Steps and plots of which nothing is special but what is said. */
import type { Plot, Step, Work } from './forms.ts';

export function plainStep(id: string, after: Step['after'], work: Work, more: Partial<Step> = {}): Step {
  return {
    id,
    after,
    naming: 'declared',
    runIf: 'all_succeeded',
    when: undefined,
    onFailure: 'fail',
    maxAttempts: 1,
    delayMs: undefined,
    priority: undefined,
    cached: false,
    undone: undefined,
    work,
    ...more,
  };
}

export function plainPlot(...steps: Step[]): Plot {
  return {
    steps,
    output: 'of_the_last',
    endedBy: 'cancellation',
    paused: false,
    limited: false,
    deduped: undefined,
    rounds: 1,
  };
}
