/** Creates the workflows of a plot on a running service: those that are begun by others first. */
import type { Client } from '../../harness/client/client.ts';
import { definitionOf } from './definition.ts';
import type { Plot } from './forms.ts';

export async function createWorkflowOf(plot: Plot, api: Client, serviceUrl: string): Promise<string> {
  const workflowIds = new Map<Plot, string>();
  for (const { work } of plot.steps) {
    if (work.kind === 'child') workflowIds.set(work.plot, await createWorkflowOf(work.plot, api, serviceUrl));
  }
  return api.createWorkflow(definitionOf(plot, { serviceUrl, workflowIds }));
}
