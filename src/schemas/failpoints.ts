/** The points at which a process can be made to fail on purpose, for tests of what follows, and what may happen there. */
export const FAILPOINTS = [
  /** The run is committed; nothing of it is in the queue. */
  'api.afterInsert',
  /** Its first jobs are in the queue; the run is not marked, the client has no answer. */
  'api.afterAdd',
  /** Messages of flow runs have come; nothing of them is stored. */
  'flow.afterPoll',
  /** A request for a flow run is in the inbox; there is no run yet. */
  'flow.afterClaim',
  /** The runs of messages are committed; their offset is not. */
  'flow.beforeOffset',
  /** A worker has a job and has read nothing. */
  'worker.afterPick',
  /** The adapter has ended; nobody knows its outcome. */
  'worker.afterExecute',
  /** A batch of outcomes is about to be sent to the database. */
  'commit.beforeSend',
  /** The batch is committed; its worker does not know it yet. */
  'commit.afterReply',
  /** A task is committed; its output is not in the cache yet. */
  'cache.beforeStore',
  /** The n-th gate is removed; they are removed one by one while this one is set. */
  'gate.afterNth',
  /** The finalizer has ended a run; its job has not ended. */
  'finalize.afterCommit',
  /** A flow is to be added again: the states have been read. */
  'reconcile.afterRead',
  /** It has been added again; what came back and should not have is still there. */
  'reconcile.afterAdd',
  /** Runs that waited for a slot of their group have one; none of them is in the queue. */
  'places.afterGive',
  /** A call has its rate-limit slot at a service; it is not made yet. */
  'turn.afterTake',
  /** A webhook has been called; nobody has written that down. */
  'webhook.afterCall',
  /** A run is marked as cancelling; nothing has been woken. */
  'cancel.afterStatus',
  /** A task that waits for something outside is asleep; whether it came in the meantime has not been checked. */
  'park.afterMove',
  'sleep.afterMark',
  'sleep.afterRemove',
  'sleep.afterTake',
  /** A run is resumed; what was deferred has not been woken. */
  'resume.afterStatus',
  /** A task is completed manually; its job sleeps on. */
  'settle.afterCommit',
  /** What a worker outside answered is stored, with its wake; the task has not been woken. */
  'external.afterStore',
  /** Messages are decided and committed; none of them is published. */
  'outbox.beforePublish',
  /** They are published; nobody has written that down. */
  'outbox.afterPublish',
  /** What answers to published tasks bring about is about to be committed. */
  'answers.beforeCommit',
  /** It is committed; no task has been woken, and the messages are not done with. */
  'answers.afterCommit',
  /** A run compensates what it did: that is written down, and nothing of it is in the queue. */
  'saga.afterBegin',
  /** The items of a task are written down; none of them is in the queue. */
  'parts.afterWrite',
  /** Items of a task have been added; the task is not asleep yet. */
  'parts.afterAdd',
  /** A child run is in the queue; the task that started it is not asleep yet. */
  'child.afterAdd',
  /** A child run has ended; the task that waits for it has not been woken. */
  'child.beforeWake',
  /** Events from outside are committed; nothing of what follows from them has been done. */
  'incoming.afterCommit',
  /** Events are in the stream; nobody has written that down. */
  'stream.afterAppend',
  /** A decision or a signal is committed, and the wake of its task is counted; its job is not due. */
  'inbox.afterCommit',
  /** A batch of what is to be erased is gone, with how far it is; there is more. */
  'erase.afterBatch',
  /** A page of an operation on all runs of a workflow is done; nobody has written that down. */
  'operation.afterPage',
  /** A row says that a task may have a Job; the cluster has none. */
  'kubernetes.beforeApply',
  /** The cluster has a Job; its task does not wait for it yet. */
  'kubernetes.afterApply',
] as const;
export type FailpointName = (typeof FAILPOINTS)[number];

export interface FailpointRule {
  name: FailpointName;
  /**
   * exit: killed, nothing is flushed. stop: stopped until SIGCONT. throw: as if the connection to a store broke here.
   */
  action: 'exit' | 'stop' | 'throw' | 'sleep';
  sleepMs: number;
  /** It happens at this hit in a process, and only then. */
  at: number;
}
