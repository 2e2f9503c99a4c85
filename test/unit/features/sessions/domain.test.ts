import { expect, test } from 'vitest';
import { RUN_STATUSES } from '../../../../src/domain/runs/run-states.ts';
import {
  agentsStatus,
  approvalRequest,
  jobRequest,
  maoRunId,
  maoWorkflowId,
  memoryKey,
  promptSummary,
  recordedMetadata,
  sessionIdsIn,
  sessionStatus,
  workflowIdOf,
} from '../../../../src/features/sessions/domain.ts';

test('a session has the status of its execution, in the words of its clients', () => {
  const plain = Object.fromEntries(RUN_STATUSES.map((status) => [status, sessionStatus(status, false)]));
  expect(plain).toEqual({
    pending: 'running',
    queued: 'running',
    running: 'running',
    waiting: 'running',
    paused: 'running',
    cancelling: 'running',
    compensating: 'running',
    completed: 'completed',
    failed: 'failed',
    cancelled: 'canceled',
    timed_out: 'timed_out',
    compensated: 'failed',
    compensation_failed: 'failed',
  });
  const changed = RUN_STATUSES.filter((status) => sessionStatus(status, true) !== plain[status]);
  expect(changed).toEqual(['cancelled']);
  expect(sessionStatus('cancelled', true)).toBe('terminated');
});

test('an id is a session id first, and a workflow id after that', () => {
  expect(workflowIdOf('a')).toBe('session-a');
  expect(sessionIdsIn('session-a')).toEqual(['session-a', 'a']);
  expect(sessionIdsIn('a')).toEqual(['a']);
  expect(sessionIdsIn(workflowIdOf('session-a'))).toEqual(['session-session-a', 'session-a']);
  expect(maoRunId(maoWorkflowId('run'))).toBe('run');
  expect(maoRunId('run')).toBe('run');
});

test('metadata overrides the fields of the Kubernetes job by their names, and nothing else', () => {
  const metadata = {
    volcano_queue: 'batch',
    volcano_command: ['python', '-V'],
    volcano_image: 'python:3.12',
    volcano_env: { A: '1' },
    volcano_cpu: '1',
    volcano_memory: '1Gi',
    volcano_wait: false,
    volcano_timeout_seconds: 60,
    volcano_namespace: 'kube-system',
    queue: 'other',
  };
  expect(jobRequest('s', metadata)).toEqual({
    job_name: 'session-s',
    queue: 'batch',
    command: ['python', '-V'],
    image: 'python:3.12',
    env: { A: '1' },
    cpu: '1',
    memory: '1Gi',
    wait: false,
    timeout_seconds: 60,
  });
  expect(jobRequest('s', { volcano_cpu: null })).toEqual({ job_name: 'session-s' });
});

test('an approval is requested where metadata says so', () => {
  expect(approvalRequest({})).toBeUndefined();
  expect(approvalRequest({ approvers: ['eve'] })).toBeUndefined();
  expect(approvalRequest({ requires_approval: true })).toEqual({ message: expect.any(String), on_reject: 'continue' });
  expect(approvalRequest({ requires_approval: true, approvers: ['eve'] })).toMatchObject({ approvers: ['eve'] });
});

test('agents are completed when all are, failed when none is, and partial otherwise', () => {
  expect([agentsStatus(2, 2), agentsStatus(1, 2), agentsStatus(0, 2)]).toEqual(['completed', 'partial', 'failed']);
});

test('what is recorded has no code and no long prompt', () => {
  expect(recordedMetadata({ mfa_code: '1', lang: 'en' })).toEqual({ lang: 'en' });
  expect(promptSummary('x'.repeat(300))).toHaveLength(200);
  expect(memoryKey('acme', 's', 3)).toBe('session:acme:s:3');
});
