/** Bull Board over all queues: a window into them, for people. */
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { ExpressAdapter } from '@bull-board/express';
import type { RequestHandler } from 'express';

/** A queue as BullMQ's `Queue` is; the module that owns the queues hands them over. */
export type BoardQueue = ConstructorParameters<typeof BullMQAdapter>[0];

/** Before the name of a queue that several shards have; it is a part of a path. */
function shardOf(queue: BoardQueue, queues: readonly BoardQueue[]): string {
  const namesakes = queues.filter(({ name }) => name === queue.name);
  return namesakes.length < 2 ? '' : `${namesakes.indexOf(queue)}:`;
}

export function createBoard(queues: readonly BoardQueue[], basePath: string): RequestHandler {
  const server = new ExpressAdapter();
  server.setBasePath(basePath);
  createBullBoard({
    queues: queues.map((queue) => new BullMQAdapter(queue, { prefix: shardOf(queue, queues) })),
    serverAdapter: server,
    options: { uiConfig: { boardTitle: 'Orchestrator' } },
  });
  // An express app; its published type says no more than `any`.
  return server.getRouter() as RequestHandler;
}
