/**
 * Handlers of the flow form that have no adapter here are done by executors outside: their tasks become actions of type
 * `external`, whose topic is the handler and whose input the inputs of the task. So what is published is always an external
 * task, and nothing behind the definition knows of handlers.
 */
import { taskTopic } from '../../../workers/adapter.ts';
import type { JsonObject } from '../../schemas/json.ts';
import { didYouMean } from '../../schemas/nearest.ts';
import { isFlowForm } from './domain.ts';

const EXTERNAL = 'external';

/** Whether tasks of that handler are published. */
export type IsPublished = (handler: string) => boolean;

export interface PublishedHandlersDeps {
  /** The canonical type of an adapter. */
  canonical(type: string): string | undefined;
  /** `*` stands for any characters. */
  handlers: readonly string[];
}

export function createIsPublished({ canonical, handlers }: PublishedHandlersDeps): IsPublished {
  const patterns = handlers.map(
    (pattern) => new RegExp(`^${pattern.split('*').map(escaped).join('.*')}$`, 's'), // Of the settings alone.
  );
  return (handler) =>
    canonical(handler) === undefined &&
    taskTopic.safeParse(handler).success &&
    patterns.some((pattern) => pattern.test(handler));
}

/** What is no flow form, or cannot be read, stays as it is. `near`: of published handlers, those that may be misspelt. */
export function withPublishedHandlers(
  written: JsonObject,
  isPublished: IsPublished,
  known: readonly string[],
): { definition: JsonObject; near: string[] } {
  const { tasks } = written;
  if (!isFlowForm(written) || !Array.isArray(tasks)) return { definition: written, near: [] };
  const near = new Set<string>();
  const rewritten = tasks.map((task) => {
    if (typeof task !== 'object' || task === null || Array.isArray(task)) return task;
    const { handler, inputs } = task;
    if (typeof handler !== 'string' || !isPublished(handler)) return task;
    const meant = didYouMean(handler, known);
    if (meant !== '') near.add(`'${handler}'${meant}`);
    return { ...task, handler: EXTERNAL, inputs: { topic: handler, input: inputs ?? {} } };
  });
  return { definition: { ...written, tasks: rewritten }, near: [...near] };
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}
