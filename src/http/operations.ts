/** All operations, in the order of the document. */

import * as apiKeys from './api-keys.ts';
import * as approvalLinks from './approval-links.ts';
import * as approvals from './approvals.ts';
import * as audit from './audit.ts';
import * as bulk from './bulk.ts';
import * as control from './control.ts';
import * as controlOperations from './control-operations.ts';
import * as deadLetters from './dead-letters.ts';
import * as docs from './docs.ts';
import * as engineHealth from './engine-health.ts';
import * as errorGroups from './error-groups.ts';
import * as eventLog from './event-log.ts';
import * as events from './events.ts';
import * as executions from './executions.ts';
import * as externalTasks from './external-tasks.ts';
import * as incomingEvents from './incoming-events.ts';
import * as ingestion from './ingestion.ts';
import * as jobs from './jobs.ts';
import * as lateEffects from './late-effects.ts';
import * as login from './login.ts';
import * as loginSessions from './login-sessions.ts';
import type { Operation } from './operation.ts';
import * as parts from './parts.ts';
import * as peers from './peers.ts';
import * as proxies from './proxies.ts';
import * as registry from './registry.ts';
import * as retry from './retry.ts';
import * as runLogs from './run-logs.ts';
import * as sagas from './sagas.ts';
import * as schedules from './schedules.ts';
import * as secrets from './secrets.ts';
import * as service from './service.ts';
import * as serviceApis from './service-apis.ts';
import * as systemHealth from './system-health.ts';
import * as tasks from './tasks.ts';
import * as tenantData from './tenant-data.ts';
import * as tenantWeights from './tenant-weights.ts';
import * as tracing from './tracing.ts';
import * as versions from './versions.ts';
import * as webhooks from './webhooks.ts';
import * as why from './why.ts';
import * as workflowControl from './workflow-control.ts';
import * as workflowHistory from './workflow-history.ts';
import * as workflowSearch from './workflow-search.ts';
import * as workflowStatistics from './workflow-statistics.ts';
import * as templates from './workflow-templates.ts';
import * as workflows from './workflows.ts';

export const API_OPERATIONS: readonly Operation[] = [
  tasks.assignTask,
  tasks.assignTasks,
  tasks.getResult,
  tasks.listTasks,
  tasks.listActionTypes,
  externalTasks.pollTasks,
  externalTasks.heartbeatTask,
  externalTasks.completeTask,
  externalTasks.failTask,
  externalTasks.listExternalTasks,
  workflows.createWorkflow,
  workflows.listWorkflows,
  engineHealth.getEngineHealth,
  workflowSearch.searchWorkflows,
  workflowStatistics.getStatistics,
  workflowHistory.getHistory,
  workflowHistory.getActivity,
  templates.listTemplates,
  templates.createTemplate,
  templates.getTemplate,
  templates.putTemplate,
  templates.deleteTemplate,
  templates.createFromTemplate,
  templates.createSampleWorkflow,
  workflows.getWorkflow,
  workflows.updateWorkflow,
  workflows.deleteWorkflow,
  workflows.listVersions,
  versions.diffVersions,
  versions.setCanary,
  versions.removeCanary,
  versions.promoteCanary,
  controlOperations.getControlOperation,
  workflowControl.pauseWorkflow,
  workflowControl.resumeWorkflow,
  executions.executeWorkflow,
  executions.executeMany,
  executions.listWorkflowExecutions,
  executions.getExecution,
  why.explainExecution,
  why.explainWorkflowExecution,
  parts.listParts,
  events.getExecutionEvents,
  executions.cancelExecution,
  retry.retryExecution,
  control.pauseExecution,
  control.resumeExecution,
  control.rerunExecution,
  control.skipAction,
  control.completeAction,
  approvals.approveAction,
  approvals.rejectAction,
  approvals.sendSignal,
  approvals.issueApprovalLinks,
  approvals.listApprovals,
  approvalLinks.viewApprovalLink,
  approvalLinks.decideByLink,
  executions.listExecutions,
  bulk.bulkCancel,
  bulk.bulkRetry,
  schedules.createSchedule,
  schedules.listSchedules,
  schedules.getSchedule,
  schedules.updateSchedule,
  schedules.deleteSchedule,
  schedules.pauseSchedule,
  schedules.resumeSchedule,
  schedules.triggerSchedule,
  loginSessions.listLoginSessions,
  loginSessions.endLoginSession,
  apiKeys.createApiKey,
  apiKeys.listApiKeys,
  apiKeys.getApiKey,
  apiKeys.rotateApiKey,
  apiKeys.revokeApiKey,
  secrets.putSecret,
  secrets.listSecrets,
  secrets.getSecret,
  secrets.deleteSecret,
  webhooks.createWebhook,
  webhooks.listWebhooks,
  webhooks.getWebhook,
  webhooks.updateWebhook,
  webhooks.deleteWebhook,
  webhooks.testWebhook,
  webhooks.listWebhookDeliveries,
  webhooks.retryWebhookDelivery,
  registry.registerService,
  registry.heartbeatService,
  registry.listServices,
  registry.getRegisteredService,
  registry.removeService,
  peers.listPeers,
  peers.syncPeers,
  peers.replicate,
  serviceApis.pollOpenApi,
  serviceApis.getServiceDocument,
  serviceApis.listServiceOperations,
  serviceApis.listServiceDrift,
  ingestion.ingest,
  ingestion.runWorkflow,
  jobs.recalcQuality,
  incomingEvents.receiveEvents,
  jobs.notifyConsolidation,
  proxies.saveDocument,
  proxies.getDocument,
  proxies.requestReport,
  proxies.suggestSummary,
  proxies.demoE2e,
  runLogs.getWorkflowExecutionLogs,
  runLogs.getExecutionLogs,
  deadLetters.listDeadLetters,
  deadLetters.getDeadLetterStats,
  deadLetters.retryDeadLetters,
  deadLetters.discardDeadLetters,
  deadLetters.removeDeadLetter,
  deadLetters.removeDeadLetterByEventId,
  errorGroups.listErrorGroups,
  errorGroups.getErrorGroup,
  errorGroups.retryErrorGroup,
  errorGroups.resolveErrorGroup,
  errorGroups.ignoreErrorGroup,
  sagas.getSagaStats,
  sagas.getSaga,
  lateEffects.listLateEffects,
  eventLog.getEventHistory,
  eventLog.replayEvents,
  eventLog.clearEvents,
  tracing.getTracingStats,
  tracing.getTrace,
  tracing.getServiceTraces,
  audit.listAudit,
  tenantData.eraseTenantData,
  tenantData.getErasure,
  tenantData.exportTenant,
  tenantWeights.getTenantWeight,
  tenantWeights.putTenantWeight,
  workflowControl.listLanes,
  workflowControl.pauseLane,
  workflowControl.resumeLane,
  why.explainLane,
  workflowControl.listControlEvents,
  service.getService,
  service.getHealth,
  ...service.liveness,
  ...service.readiness,
  service.getInfo,
  systemHealth.getSystemHealth,
  service.getMetrics,
  service.getEffectiveConfig,
  login.beginLogin,
  login.finishLogin,
  login.viewLogout,
  login.logout,
  login.getMe,
  docs.getDocs,
  docs.getRedoc,
  docs.getOpenApiJson,
  docs.getOpenApiYaml,
];
