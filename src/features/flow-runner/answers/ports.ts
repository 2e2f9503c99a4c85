/** Answers to published tasks: what deciding them needs of the store. */
import type { DefinitionRef } from '../../../schemas/job.ts';
import type { PublishedAttempt } from './domain.ts';
import type { TaskAnswer } from './read-answer.ts';

export interface TaskKey {
  runId: string;
  actionId: string;
}

export interface AnsweredTask extends TaskKey {
  tenantId: string;
  /** Of its run. */
  epoch: number;
  of: DefinitionRef;
  /** Its run goes on, and it has not ended. */
  live: boolean;
  /** Its run compensates what it did. */
  compensates: boolean;
  attempts: readonly PublishedAttempt[];
}

/** The end of an attempt. */
export interface Change extends Pick<TaskAnswer, 'outcome' | 'output' | 'error'> {
  attemptId: string;
  tenantId: string;
}

export interface LateEffect extends TaskKey, Pick<TaskAnswer, 'output'> {
  tenantId: string;
  epoch: number;
  attempt: number;
  /** Its action says how it is compensated. */
  isCompensated: boolean;
}

export interface LockedAnswers {
  /** Ends attempts, and counts the wakes of their tasks. */
  change(changes: readonly Change[]): Promise<void>;
  /** Makes the attempts that would follow these, completed already. False: one of them was opened meanwhile. */
  completeNext(changes: readonly Change[]): Promise<boolean>;
  lateEffects(effects: readonly LateEffect[]): Promise<void>;
}

export interface AnswerStore {
  /** With all of these tasks locked of which something was published. What `work` changes is committed unless it answers false. */
  decide<T>(
    keys: readonly TaskKey[],
    work: (tasks: readonly AnsweredTask[], locked: LockedAnswers) => Promise<T | false>,
  ): Promise<T | false>;
}
