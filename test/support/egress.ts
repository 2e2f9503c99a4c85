/** Outbound dispatchers and servers that end with the test. */
import { afterEach, vi } from 'vitest';
import { createEgress, type Egress, type EgressInit, type EgressOptions } from '../../src/egress/egress.ts';
import { EgressError } from '../../src/egress/errors.ts';
import { type Handle, type HttpServer, startHttpServer } from './http-server.ts';

export interface EgressFixtures {
  egressOf(options?: Partial<EgressOptions>): Egress;
  serve(handle: Handle, host?: string): Promise<HttpServer>;
  /** A server that answers `hello`. */
  hello(): Promise<HttpServer>;
  closeLater(close: () => Promise<void>): void;
}

/** Call it once in a test file. */
export function egressFixtures(): EgressFixtures {
  const closers: Array<() => Promise<void>> = [];
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });
  const serve: EgressFixtures['serve'] = async (handle, host) => {
    const server = await startHttpServer(handle, host);
    closers.push(() => server.close());
    return server;
  };
  return {
    serve,
    hello: () => serve((_request, response) => void response.end('hello')),
    closeLater: (close) => void closers.push(close),
    egressOf(options = {}) {
      const egress = createEgress({
        policy: 'internal',
        allow: [],
        ownAddresses: [],
        isTrustedOrigin: () => false,
        log: { warn: () => undefined },
        ...options,
      });
      closers.push(() => egress.close());
      return egress;
    },
  };
}

export function init(more: Partial<EgressInit> = {}): EgressInit {
  return { signal: AbortSignal.timeout(10_000), ...more };
}

export async function faultOf(work: Promise<unknown>): Promise<EgressError> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof EgressError)) throw new Error(`no EgressError but ${String(error)}`);
  return error;
}

/** A look-up in which every name has these addresses. */
export function answers(...addresses: string[]) {
  return vi.fn((_host: string) =>
    Promise.resolve(addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))),
  );
}
