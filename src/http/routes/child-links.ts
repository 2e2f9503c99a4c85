/** Where the execution above and those below are, for answers about one. */
import type { Execution, ExecutionSummary } from '../../schemas/workflow-answers.ts';
import type { Links } from '../server/links.ts';

export function withParentLink<Summary extends ExecutionSummary>(found: Summary, links: Links): Summary {
  const { parent } = found;
  return parent === null ? found : { ...found, parent: { ...parent, link: links.execution(parent.execution_id) } };
}

export function withChildLinks(found: Execution, links: Links): Execution {
  const tasks = found.tasks.map((task) =>
    task.child === undefined
      ? task
      : { ...task, child: { ...task.child, link: links.execution(task.child.execution_id) } },
  );
  return withParentLink({ ...found, tasks }, links);
}
