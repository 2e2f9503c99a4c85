/** Where payloads are stored, which are sealed with ENCRYPT_PAYLOADS: what a rotation walks through and an export opens. */

export interface PayloadColumns {
  /** Names a row; as texts for a walk in this order. */
  key: readonly string[];
  json: readonly string[];
  /** Of type text: a sealed one is JSON text. */
  text?: readonly string[];
}

export const PAYLOAD_COLUMNS: Readonly<Record<string, PayloadColumns>> = {
  run: { key: ['id'], json: ['parameters', 'output', 'error', 'execution_context'] },
  task: { key: ['run_id', 'action_id'], json: ['input', 'output', 'error', 'item'] },
  attempt: { key: ['run_id', 'action_id', 'epoch', 'attempt'], json: ['error'] },
  task_failure: { key: ['run_id', 'action_id', 'epoch', 'attempt'], json: ['error'] },
  error_group: { key: ['tenant_id', 'fingerprint'], json: [], text: ['code', 'template', 'message'] },
  late_effect: { key: ['id'], json: ['output'] },
  output_cache: { key: ['tenant_id', 'key'], json: ['output'] },
  external_task: { key: ['id'], json: ['input', 'progress', 'output', 'error'] },
  flow_outbox: { key: ['id'], json: [], text: ['value'] },
  signal_message: { key: ['id'], json: ['payload'] },
  incoming_event: { key: ['tenant_id', 'key'], json: ['event'] },
  schedule: { key: ['id'], json: ['parameters'] },
  task_chunk: { key: ['run_id', 'action_id', 'execution', 'n'], json: ['chunk'] },
  task_log: { key: ['run_id', 'id'], json: ['fields'], text: ['message'] },
  task_report: { key: ['run_id', 'action_id'], json: [], text: ['message'] },
  approval: { key: ['run_id', 'epoch', 'action_id'], json: [], text: ['message'] },
  flow_dead_letter: { key: ['id'], json: ['headers'], text: ['error', 'original'] },
  document: { key: ['tenant_id', 'id'], json: ['metadata'], text: ['content'] },
};
