/** Late effects: successes of actions that were given up. */
import type { Json } from '../../schemas/json.ts';

export interface SeenLateEffect {
  actionId: string;
  attempt: number;
  epoch: number;
  at: Date;
  worker: string | null;
  /** Whether it is being or was compensated; null: no compensation follows. */
  compensated: boolean | null;
}

export interface LateEffect extends SeenLateEffect {
  output: Json;
}

export interface ListedLateEffect extends SeenLateEffect {
  /** Says where the next page goes on. */
  id: string;
  runId: string;
  runStatus: string;
}

export interface LateEffectFilter {
  runId: string | undefined;
  actionId: string | undefined;
  compensated: 'true' | 'false' | 'null' | undefined;
}

export interface LateEffectReader {
  /** The newest first. */
  list(
    tenantId: string,
    filter: LateEffectFilter,
    window: { limit: number; before: string | undefined },
  ): Promise<{ items: ListedLateEffect[]; more: boolean }>;
  /** Of a run that is the tenant's, in their order. */
  ofRun(tenantId: string, runId: string): Promise<LateEffect[]>;
}
