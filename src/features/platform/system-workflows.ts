/** All workflows of the service. One that others start (`uses`) stands here too. */

import type { SystemWorkflow } from '../../domain/definition/system-workflow.ts';
import { docstoreSave, ingestSource, ingestSources } from './system-documents.ts';
import { pollOpenapi } from './system-poll-openapi.ts';
import { notifyConsolidation, recalcQuality } from './system-quality.ts';
import { demoE2e, requestReport, suggestSummary } from './system-reports.ts';

export const SYSTEM_WORKFLOWS: readonly SystemWorkflow[] = [
  pollOpenapi,
  recalcQuality,
  notifyConsolidation,
  docstoreSave,
  ingestSource,
  ingestSources,
  requestReport,
  suggestSummary,
  demoE2e,
];
