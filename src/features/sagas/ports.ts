/** What the doors are told of sagas: runs of which something may have to be undone, or that were begun as one. */
import type { Saga, SagaStats } from './schemas.ts';

export interface SagaReader {
  stats(tenantId: string, hours: number): Promise<SagaStats>;
  /** Undefined: there is no such run, or it is none. */
  find(tenantId: string, runId: string): Promise<Saga | undefined>;
}
