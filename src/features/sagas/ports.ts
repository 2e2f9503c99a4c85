/** Reads sagas for the API: runs with compensations, or that were started as sagas. */
import type { Definition } from '../../domain/definition/definition.ts';
import type { RunStatus } from '../../domain/runs/run-states.ts';
import type { Json } from '../../schemas/json.ts';
import type { StepRow } from './steps.ts';

export interface SagaCounts {
  total: number;
  active: number;
  completed: number;
  compensated: number;
  /** How long those that completed took; 0: none has. */
  averageSeconds: number;
  /** When the oldest that was counted was accepted. */
  since: Date | null;
}

export interface StoredSaga {
  id: string;
  correlationId: string | null;
  status: RunStatus;
  error: Json;
  createdAt: Date;
  finishedAt: Date | null;
  definition: Pick<Definition, 'actions'>;
  /** Of its actions and of their compensations. */
  steps: StepRow[];
}

export interface SagaReader {
  stats(tenantId: string, hours: number): Promise<SagaCounts>;
  /** Undefined: there is no such run, or it is none. */
  find(tenantId: string, runId: string): Promise<StoredSaga | undefined>;
}
