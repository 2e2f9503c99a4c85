/** Addresses in answers come from the configured one, never from what a request says its host is. */
export interface Links {
  workflow(id: string): string;
  execution(id: string): string;
  cancel(executionId: string): string;
  events(executionId: string): string;
  result(taskId: string): string;
  operation(id: string): string;
  at(path: string): string;
}

export function createLinks(publicUrl: string | undefined): Links {
  const base = publicUrl === undefined ? '' : publicUrl.replace(/\/+$/, '');
  const at = (path: string) => `${base}${path}`;
  const part = encodeURIComponent;
  return {
    at,
    workflow: (id) => at(`/workflows/${part(id)}`),
    execution: (id) => at(`/workflows/executions/${part(id)}`),
    cancel: (id) => at(`/workflows/executions/${part(id)}/cancel`),
    events: (id) => at(`/workflows/executions/${part(id)}/events`),
    result: (id) => at(`/result/${part(id)}`),
    operation: (id) => at(`/workflows/operations/${part(id)}`),
  };
}
