/** What the doors are told of late effects. */
import type { LateEffect, ListedLateEffect } from '../../schemas/late-effects.ts';

export interface LateEffectFilter {
  runId: string | undefined;
  actionId: string | undefined;
  compensated: 'true' | 'false' | 'null' | undefined;
}

export interface LateEffectReader {
  /** The newest first; `id` says where the next page goes on. */
  list(
    tenantId: string,
    filter: LateEffectFilter,
    window: { limit: number; before: string | undefined },
  ): Promise<{ items: (ListedLateEffect & { id: string })[]; more: boolean }>;
  /** Of a run that is the tenant's, in their order. */
  ofRun(tenantId: string, runId: string): Promise<LateEffect[]>;
}
