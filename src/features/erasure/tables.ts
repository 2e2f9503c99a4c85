/**
 * Which rows belong to a tenant, and to one user of it: what erasing removes and an export contains. A test compares this with
 * the tables that there are, so none is forgotten.
 */

/** The rows of a run, found by `run_id`; they go with it. `key`: what names a row. */
export const RUN_TABLES: Readonly<Record<string, { key: readonly string[]; hidden?: readonly string[] }>> = {
  task: { key: ['run_id', 'action_id'] },
  attempt: { key: ['run_id', 'action_id', 'epoch', 'attempt'] },
  event: { key: ['run_id', 'id'] },
  late_effect: { key: ['run_id', 'id'] },
  task_report: { key: ['run_id', 'action_id'] },
  task_chunk: { key: ['run_id', 'action_id', 'execution', 'n'] },
  external_task: { key: ['run_id', 'id'], hidden: ['lease_token'] },
  approval: { key: ['run_id', 'epoch', 'action_id'] },
  approval_decision: { key: ['run_id', 'epoch', 'action_id'] },
  signal_wait: { key: ['run_id', 'action_id'] },
  signal_message: { key: ['run_id', 'id'] },
  event_wait: { key: ['run_id', 'action_id'] },
  event_out: { key: ['run_id', 'id'] },
  task_failure: { key: ['run_id', 'action_id', 'epoch', 'attempt'] },
  task_log: { key: ['run_id', 'id'] },
  run_log: { key: ['run_id'] },
  flow_run: { key: ['run_id'] },
  run_dedupe: { key: ['run_id', 'workflow_id', 'key'] },
  session_run: { key: ['run_id', 'session_id'], hidden: ['mfa_code'] },
};

/** The others, by `tenant_id`, in an order in which they can go. */
export const TENANT_TABLES: Readonly<Record<string, { key: readonly string[]; hidden?: readonly string[] }>> = {
  output_cache: { key: ['key'] },
  call_span: { key: ['trace_id', 'span_id'] },
  secret: { key: ['name'], hidden: ['envelope'] },
  api_key: { key: ['id'], hidden: ['hash', 'previous_hash'] },
  webhook_delivery: { key: ['id'] },
  delivery_circuit: { key: ['host'] },
  webhook: { key: ['id'], hidden: ['secret', 'previous_secret'] },
  flow_outbox: { key: ['id'] },
  flow_dead_letter: { key: ['id'] },
  platform_event: { key: ['id'] },
  event_clearance: { key: ['kind', 'correlation_id'] },
  incoming_event: { key: ['key'] },
  schedule: { key: ['id'] },
  control_event: { key: ['id'] },
  control_operation: { key: ['id'], hidden: ['lease'] },
  tenant_weight: { key: ['tenant_id'] },
  document: { key: ['id'] },
  error_group: { key: ['fingerprint'] },
  workflow_template: { key: ['name'] },
  workflow_trigger: { key: ['workflow_id', 'position'] },
  workflow_search: { key: ['workflow_id'], hidden: ['document'] },
  workflow: { key: ['id'] },
  service_circuit: { key: ['worker', 'name', 'instance_id'] },
  service_drift: { key: ['id'] },
  service_document: { key: ['service'] },
  service_instance: { key: ['name', 'instance_id'] },
  service_tombstone: { key: ['name'] },
  peer_sent: { key: ['peer', 'name'] },
  service: { key: ['name'] },
};

/** Found by the row that they hang on, and removed before it. */
export const HANGING_TABLES: Readonly<Record<string, { key: readonly string[]; column: string; parent: string }>> = {
  workflow_version: { key: ['workflow_id', 'version'], column: 'workflow_id', parent: 'workflow' },
  schedule_slot: { key: ['schedule_id', 'slot_at', 'kind'], column: 'schedule_id', parent: 'schedule' },
};

/** They stay. */
export const RETAINED_TABLES: Readonly<Record<string, string>> = {
  audit_entry: 'who did what, erasing among it, must be known for as long as AUDIT_RETENTION_DAYS says',
  audit_head: 'as audit_entry',
  erasure: 'says that and when it was done; removed after 400 days',
  login_session: 'a session that was ended must stay ended; removed once it would be over by itself',
  lane_pause: 'holds a lane of the whole installation',
};

/** The columns that name the user who did something, in rows that stay when only one user is erased. */
export const WHO: ReadonlyArray<{ table: string; column: string }> = [
  { table: 'workflow', column: 'created_by' },
  { table: 'workflow_template', column: 'created_by' },
  { table: 'api_key', column: 'created_by' },
  { table: 'secret', column: 'created_by' },
  { table: 'secret', column: 'updated_by' },
  { table: 'webhook', column: 'created_by' },
  { table: 'schedule', column: 'created_by' },
  { table: 'control_event', column: 'by' },
  { table: 'control_operation', column: 'requested_by' },
  { table: 'tenant_weight', column: 'set_by' },
  { table: 'event_clearance', column: 'by' },
  { table: 'error_group', column: 'state_by' },
];
/** Likewise, in rows that are found otherwise than by their tenant. */
export const WHO_ELSEWHERE: ReadonlyArray<{ table: string; column: string }> = [
  { table: 'workflow_version', column: 'created_by' },
  { table: 'approval_decision', column: 'decided_by' },
  { table: 'signal_message', column: 'sent_by' },
];
/** What goes with the user: `user_id` says whose it is. */
export const OF_USER: readonly string[] = ['run', 'incoming_event'];
