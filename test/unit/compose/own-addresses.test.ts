/** No request goes to a server of the queue, whichever setting names it. */
import { expect, test } from 'vitest';
import { ownAddresses } from '../../../src/compose/egress.ts';
import { loadConfig } from '../../../src/config/config.ts';

test.each<[Record<string, string>, Array<{ host: string; port: number }>]>([
  [{ REDIS_URL: 'redis://cache/0' }, [{ host: 'cache', port: 6_379 }]],
  [
    { REDIS_SENTINELS: 'watch-1,watch-2:7000' },
    [
      { host: 'watch-1', port: 26_379 },
      { host: 'watch-2', port: 7_000 },
    ],
  ],
  [{ REDIS_CLUSTER: 'node-1:7001' }, [{ host: 'node-1', port: 7_001 }]],
])('%j names own addresses', (environment, expected) => {
  const config = loadConfig({ SECRETS_DIR: '/nowhere', ...environment }, { cwd: '/nowhere' });
  const database = { host: 'db', port: 5_432 };
  expect(ownAddresses(config, 'postgres://db/x')).toEqual(expect.arrayContaining([database, ...expected]));
});
