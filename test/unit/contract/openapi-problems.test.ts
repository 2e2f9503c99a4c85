import { describe, expect, test } from 'vitest';
import { operationsOf } from '../../../src/compose/features.ts';
import { allErrorCodes, describe as describeCode, type ErrorCode } from '../../../src/domain/errors.ts';
import { readContract, resolved } from '../../support/contract/document.ts';

const document = readContract();
const operations = Object.values(document.paths).flatMap((item) => Object.values(item));
const ofHttp = operations.filter((operation) => operation['x-websocket'] === undefined);

/** Codes with which tasks, attempts and executions end; no request is answered with one of them. */
const OF_TASKS: readonly ErrorCode[] = [
  ...(['adapter_failed', 'approval_rejected', 'approval_timed_out', 'cancelled', 'child_cancelled'] as const),
  ...(['child_failed', 'circuit_open', 'effect_unknown', 'heartbeat_timeout', 'item_failed', 'job_failed'] as const),
  ...(['network_error', 'no_instance', 'repeat_exhausted', 'run_timed_out', 'run_too_deep', 'timeout'] as const),
  ...(['secret_not_allowed', 'secret_unknown', 'service_unknown', 'signal_timed_out', 'worker_crashed'] as const),
  // The API seals and does not open.
  ...(['encryption_key_missing', 'unreadable_envelope', 'workflow_recursion'] as const),
];

/** status -> its codes. */
function problemsIn(operation: (typeof operations)[number]): Map<string, string[]> {
  return new Map(
    Object.entries(operation.responses).flatMap(([status, response]) => {
      const { content = {} } = resolved(document, response, '').value;
      const schema = content['application/problem+json']?.schema;
      return schema === undefined ? [] : [[status, codesIn(schema)]];
    }),
  );
}

function codesIn(schema: object): string[] {
  return (schema as { properties: { code: { enum: string[] } } }).properties.code.enum;
}

describe('problems in the OpenAPI document', () => {
  test('every answer of 4xx and 5xx names its codes, each of the catalogue and with that status', () => {
    for (const operation of ofHttp) {
      const problems = problemsIn(operation);
      const statuses = Object.keys(operation.responses).filter((status) => Number(status) >= 400);
      expect([...problems.keys()], operation.operationId).toEqual(statuses);
      for (const [status, codes] of problems) {
        const ofStatus = allErrorCodes().filter((code) => describeCode(code).status === Number(status));
        expect(ofStatus, `${operation.operationId} ${status}`).toEqual(expect.arrayContaining(codes));
        expect(codes.length).toBeGreaterThan(0);
      }
    }
    expect(ofHttp.length).toBeGreaterThan(150);
  });

  test('every code with which a request is answered is there', () => {
    const ofNone = Object.values(document['x-responses-of-no-operation']).flatMap((response) => {
      const { content = {} } = resolved(document, response, '').value;
      return Object.values(content).flatMap(({ example }) => (example as { code: string }).code);
    });
    const documented = new Set([...ofHttp.flatMap((one) => [...problemsIn(one).values()].flat()), ...ofNone]);
    expect(
      allErrorCodes()
        .filter((code) => !documented.has(code))
        .sort(),
    ).toEqual([...OF_TASKS].sort());
  });

  test('what follows from an operation need not be named: a body, a key, an id in its path', () => {
    const codesOf = (id: string) => {
      const found = ofHttp.find(({ operationId }) => operationId === id);
      return found === undefined ? [] : [...problemsIn(found).values()].flat();
    };
    expect(codesOf('getWorkflow')).toContain('not_found');
    expect(codesOf('getWorkflow')).not.toContain('malformed_json');
    expect(codesOf('createWorkflow')).toEqual(expect.arrayContaining(['malformed_json', 'policy_denied']));
    expect(codesOf('executeWorkflow')).toEqual(expect.arrayContaining(['idempotency_conflict', 'workflow_paused']));
  });

  test('no operation names a code twice or one that follows already', async () => {
    const ops = await operationsOf();
    const repeated = ops.filter(({ problems = [] }) => new Set(problems).size < problems.length);
    expect(repeated.map(({ id }) => id)).toEqual([]);
  });
});
