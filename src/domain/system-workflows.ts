/** All of them. A workflow that others begin (`uses`) stands here too. */
import { pollOpenapi } from './system-poll-openapi.ts';
import { recalcQuality } from './system-quality.ts';
import type { SystemWorkflow } from './system-workflow.ts';

export const SYSTEM_WORKFLOWS: readonly SystemWorkflow[] = [pollOpenapi, recalcQuality];
