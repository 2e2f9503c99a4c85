/** Which outputs can be named by others, and where in them the number is that everybody reads. */
import type { Plot, Step, Work } from './forms.ts';

/** Undefined: it gives nothing that is the same in every run. */
export function numberPath(work: Work): readonly string[] | undefined {
  switch (work.kind) {
    case 'echo':
    case 'compute':
    case 'by_hand':
    case 'external':
    case 'loop':
      return ['n'];
    case 'signal':
      return work.comes === 'never' ? undefined : ['n'];
    case 'child':
      return work.alone || work.plot.output === 'of_the_last' ? undefined : ['output', 'picked'];
    case 'call':
      return ['body', 'n'];
    case 'wait':
    case 'items':
    case 'approval':
    case 'overdue':
      return undefined;
  }
}

/** The dependencies that an action reads a number of. */
export function named(step: Step, plot: Plot): string[] {
  if (step.naming === 'declared' || !canRead(step.work)) return [];
  const works = new Map(plot.steps.map(({ id, work }) => [id, work]));
  return step.after.filter((id) => {
    const work = works.get(id);
    return work !== undefined && numberPath(work) !== undefined;
  });
}

function canRead({ kind }: Work): boolean {
  return kind === 'echo' || kind === 'call' || kind === 'compute' || kind === 'external';
}
