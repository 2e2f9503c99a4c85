/** Bull Board over all queues: a window into them, for people. */
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { ExpressAdapter } from '@bull-board/express';
import type { RequestHandler } from 'express';

/** A queue as BullMQ's `Queue` is; the module that owns the queues hands them over. */
export type BoardQueue = ConstructorParameters<typeof BullMQAdapter>[0];

export function createBoard(queues: readonly BoardQueue[], basePath: string): RequestHandler {
  const server = new ExpressAdapter();
  server.setBasePath(basePath);
  createBullBoard({
    queues: queues.map((queue) => new BullMQAdapter(queue)),
    serverAdapter: server,
    options: { uiConfig: { boardTitle: 'Orchestrator' } },
  });
  // An express app; its published type says no more than `any`.
  return server.getRouter() as RequestHandler;
}
