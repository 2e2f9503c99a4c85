/**
 * Connection pools whose connections can only go to the addresses that were checked: the key is the origin *and* the
 * addresses, so a name that answers differently next time gets another pool and never an old one's addresses. So does a
 * request that shows a certificate, another one than the last time, or none.
 * The name stays in the Host header and in TLS (SNI, certificate check). No proxy is used, whatever HTTP_PROXY says: it
 * would resolve the name itself.
 */
import type { LookupFunction } from 'node:net';
import { Pool } from 'undici';
import type { ShownCertificate } from './client-certificates.ts';
import type { ResolvedAddress } from './resolve.ts';

const MAX_POOLS = 256;
const MAX_CONNECTIONS = 256;
const MAX_HEADER_BYTES = 16_384;
const CONNECT_TIMEOUT_MS = 10_000;

export interface PinnedPools {
  pool(origin: string, addresses: readonly ResolvedAddress[], certificate?: ShownCertificate): Pool;
  close(): Promise<void>;
}

export function createPinnedPools(): PinnedPools {
  const pools = new Map<string, Pool>();
  const retired = new Map<Pool, Promise<void>>();

  function retire(key: string, pool: Pool): void {
    pools.delete(key);
    retired.set(
      pool,
      pool.close().finally(() => retired.delete(pool)),
    ); // Lets what is under way end.
  }

  return {
    pool(origin, addresses, certificate) {
      const key = [origin, certificate?.version, ...addresses.map(({ address }) => address).sort()].join(' ');
      const existing = pools.get(key);
      pools.delete(key);
      const pool = existing ?? openPool(origin, addresses, certificate);
      pools.set(key, pool); // At the end of the map: the first key is the one unused for longest.
      if (pools.size > MAX_POOLS) {
        for (const [oldKey, old] of pools) {
          retire(oldKey, old);
          break;
        }
      }
      return pool;
    },
    async close() {
      const open = [...pools.values(), ...retired.keys()];
      pools.clear();
      await Promise.all(open.map((pool) => pool.destroy()));
    },
  };
}

function openPool(
  origin: string,
  addresses: readonly ResolvedAddress[],
  certificate: ShownCertificate | undefined,
): Pool {
  const lookup: LookupFunction = (_hostname, options, callback) => {
    const matching = addresses.filter(({ family }) => !options.family || options.family === family);
    const [first] = matching;
    if (first === undefined) callback(new Error('no checked address of this family'), '');
    else if (options.all === true) callback(null, [...matching]);
    else callback(null, first.address, first.family);
  };
  return new Pool(origin, {
    connections: MAX_CONNECTIONS,
    connect: { lookup, timeout: CONNECT_TIMEOUT_MS, ...certificate?.pems },
    maxHeaderSize: MAX_HEADER_BYTES,
    // The caller's signal is the deadline, for the headers and for the body.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
}
