/** The prefixes of the shards, and the names of their lanes. */
import { expect, test } from 'vitest';
import { laneName, laneOfName, shardPrefixes } from '../../../src/queue/shard-names.ts';

test.each([
  ['{orch-0}', ['{orch-0}', '{orch-1}', '{orch-2}']],
  ['{orders}', ['{orders}', '{orders-1}', '{orders-2}']],
  ['{orch-10}', ['{orch-10}', '{orch-10-1}', '{orch-10-2}']],
  ['team:{orch-0}:jobs', ['team:{orch-0}:jobs', 'team:{orch-1}:jobs', 'team:{orch-2}:jobs']],
  ['plain', ['plain', 'plain-1', 'plain-2']],
])('of the prefix %s they are %j', (prefix, prefixes) => {
  expect(shardPrefixes(prefix, 3)).toEqual(prefixes);
  expect(shardPrefixes(prefix, 1)).toEqual([prefix]);
});

test('a lane of the first shard has the name of its queue, and every name leads back', () => {
  expect([0, 1, 12].map((shard) => laneName('http_request', shard))).toEqual([
    'http_request',
    'http_request@1',
    'http_request@12',
  ]);
  for (const shard of [0, 1, 12])
    expect(laneOfName(laneName('http_request', shard))).toEqual({ queue: 'http_request', shard });
});
