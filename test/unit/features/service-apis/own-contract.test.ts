import { expect, test } from 'vitest';
import { driftOf } from '../../../../src/features/service-apis/api-drift.ts';
import { readDocument } from '../../../../src/features/service-apis/openapi-document.ts';
import type { JsonObject } from '../../../../src/schemas/json.ts';
import { readContract } from '../../../support/contract/document.ts';

/** What breaks clients of the released document without a new major version that says so. */
function unannounced(released: JsonObject, now: JsonObject): string[] {
  const [before, after] = [readDocument(released), readDocument(now)];
  const { removed, changed, breaking } = driftOf(before, after);
  if (!breaking || majorOf(after.version) > majorOf(before.version)) return [];
  const changes = changed.flatMap((one) =>
    one.changes.filter((change) => change.breaking).map(({ where, message }) => `${one.operation} ${where} ${message}`),
  );
  return [...removed.map((operation) => `${operation} is not there any more`), ...changes];
}

function majorOf(version = ''): number {
  const major = Number(/^(\d+)\./.exec(version)?.[1]);
  if (Number.isNaN(major)) throw new Error(`'${version}' is no version`);
  return major;
}

const contract = readContract() as unknown as JsonObject;

test('what breaks clients of the last release takes a new major version', () => {
  const hint =
    'keep to contracts/openapi.released.yaml, or raise the major version; `npm run openapi:release` after a release';
  expect(unannounced(readContract('openapi.released.yaml') as unknown as JsonObject, contract), hint).toEqual([]);
});

const MANY_BREAKS: ReadonlyArray<readonly [string, (document: JsonObject) => void, string]> = [
  [
    'an operation less',
    (document) => delete at(document, 'paths')['/assign-task'],
    'POST /assign-task is not there any more',
  ],
  [
    'a field less in an answer',
    (document) => delete at(document, 'components', 'schemas', 'AssignedTask', 'properties')['task_id'],
    'POST /assign-task response.202.task_id is not there any more',
  ],
  [
    'a field less that may be sent',
    (document) => delete at(document, 'components', 'schemas', 'TaskRequest', 'properties')['priority'],
    'POST /assign-task body.priority is not there any more',
  ],
  [
    'an answer less',
    (document) => delete at(document, 'paths', '/assign-task', 'post', 'responses')['422'],
    'POST /assign-task response.422 is not there any more',
  ],
];

test.each(MANY_BREAKS)(
  '%s breaks clients of this very document, unless the major version says so',
  (_what, change, expected) => {
    const now = structuredClone(contract);
    change(now);
    expect(unannounced(contract, now)).toContain(expected);
    at(now, 'info')['version'] = `${majorOf(String(at(contract, 'info')['version'])) + 1}.0.0`;
    expect(unannounced(contract, now)).toEqual([]);
  },
);

function at(document: JsonObject, ...steps: string[]): JsonObject {
  let found = document;
  for (const step of steps) found = found[step] as JsonObject; // The document has it, or the next step fails.
  return found;
}
