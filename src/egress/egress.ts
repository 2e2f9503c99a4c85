/**
 * The outbound policy (SSRF guard) of every HTTP request that the service makes for a user. Each hop is resolved, every
 * address of it is checked, and the connection goes to a checked address. Redirects are not followed by the client: each
 * one passes the complete policy.
 */
import type { Pool } from 'undici';
import { flattenHeaders, type OutboundAnswer, readAnswer } from './answer.ts';
import type { CertificateFor, ClientCertificates, ShownCertificate } from './client-certificates.ts';
import { EgressError, type EgressRefusal } from './errors.ts';
import { createGuard, type GuardOptions } from './guard.ts';
import { createPinnedPools } from './pinned-pools.ts';
import { afterRedirect, type OutboundRequest, redirectTarget, toOutboundRequest } from './request.ts';
import { createResolve, type Lookup, type ResolvedAddress, systemLookup } from './resolve.ts';

const MAX_REDIRECTS = 5;
export const DEFAULT_MAX_ANSWER_BYTES = 10_000_000;

/** About one hop of a request: the first one, and each that an answer redirects to. */
export interface EgressDecision {
  decision: 'allowed' | 'refused';
  refusal: EgressRefusal | undefined;
  tenantId: string | undefined;
  method: string;
  scheme: string;
  /** With the port, as the URL has it; never what it resolved to. */
  host: string;
  redirected: boolean;
  source: string | undefined;
}

export interface EgressOptions extends GuardOptions {
  /** Called for each decision, for the metric and the audit. It must not throw. */
  onDecision?: (decision: EgressDecision) => void;
  /** Of an answer, as it comes and decompressed. */
  maxBytes?: number;
  /** Left out: none is shown to anybody. */
  certificates?: ClientCertificates;
  log: { warn(message: string, data?: object): void };
  lookup?: Lookup;
}

export interface EgressInit {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
  /** Of the answer, where that is to be less than of others. */
  maxBytes?: number;
  /** The host comes from configuration; holds for the origin of `url`, not for where it redirects. */
  trusted?: boolean;
  /** Whom the request is for: a certificate that is configured for them is shown, to the origin of `url` alone. */
  certificateFor?: CertificateFor;
  /** The tenant of the request; undefined: the service itself. */
  tenantId?: string;
  /** The idempotency key of the requesting task, for the audit. */
  source?: string;
  /** The reason to withhold the request from that URL; called for every hop. */
  withhold?(url: URL): string | undefined;
  /** Masks the secrets in a text: a header that contains one is sent to no other origin, whatever its name. */
  mask?(text: string): string;
  /** Also the deadline, for connecting, headers and body. */
  signal: AbortSignal;
}

export interface Egress {
  /** Throws an EgressError, or the signal's reason when that was aborted. */
  fetch(url: string, init: EgressInit): Promise<OutboundAnswer>;
  close(): Promise<void>;
}

/** A request, or a redirect of it, about which the policy decides. */
interface Hop {
  url: URL;
  redirected: boolean;
  method: string;
  init: EgressInit;
}

export function createEgress(options: EgressOptions): Egress {
  const maxBytes = options.maxBytes ?? DEFAULT_MAX_ANSWER_BYTES;
  const guard = createGuard(
    options,
    createResolve(options.lookup ?? systemLookup, () => performance.now()),
  );
  const pools = createPinnedPools();

  async function follow(first: URL, init: EgressInit): Promise<OutboundAnswer> {
    let url = first;
    let request = toOutboundRequest(init);
    const isSecret = (text: string) => init.mask !== undefined && init.mask(text) !== text;
    for (let redirects = 0; ; redirects += 1) {
      const hop = { url, redirected: redirects > 0, method: request.method, init };
      const withheld = init.withhold?.(url);
      if (withheld !== undefined) {
        options.log.warn('outbound request withheld', { tenant_id: init.tenantId, reason: withheld });
        notify(hop, 'withheld');
        throw new EgressError('withheld', withheld);
      }
      const addresses = await admit(hop, first);
      const certificate = await certificateOf(hop, first);
      init.signal.throwIfAborted();
      const sent = await send(pools.pool(url.origin, addresses, certificate), url, request, init);
      if ('answer' in sent) return sent.answer;
      if (redirects === MAX_REDIRECTS) {
        throw new EgressError('too_many_redirects', `${first.origin} redirects more than ${MAX_REDIRECTS} times`);
      }
      try {
        request = afterRedirect(request, { status: sent.status, from: url, to: sent.next }, isSecret);
      } catch (error) {
        report({ ...hop, url: sent.next, redirected: true }, error);
        throw error;
      }
      url = sent.next;
    }
  }

  async function admit(hop: Hop, first: URL): Promise<ResolvedAddress[]> {
    const { url, init } = hop;
    const trusted = init.trusted === true && url.origin === first.origin;
    try {
      const addresses = await guard.admit(url, { trusted, tenantId: init.tenantId });
      report(hop, undefined);
      return addresses;
    } catch (error) {
      report(hop, error);
      throw error;
    }
  }

  /** Where one is configured nothing is sent that is not encrypted. */
  async function certificateOf({ url, init }: Hop, first: URL): Promise<ShownCertificate | undefined> {
    if (init.certificateFor === undefined || url.origin !== first.origin) return undefined;
    const found = await options.certificates?.find(init.certificateFor);
    if (found === undefined || url.protocol === 'https:') return found;
    throw new EgressError('bad_request', `${url.origin} is not https, and SERVICE_TLS names '${found.name}'`);
  }

  /** A name that does not resolve was neither allowed nor denied. */
  function report(hop: Hop, error: unknown): void {
    const { url, init } = hop;
    const denied = error instanceof EgressError && error.fault === 'denied';
    if (error !== undefined && !denied) return;
    const refusal = denied ? error.refusal : undefined;
    const shown = (text: string) => init.mask?.(text) ?? text;
    if (denied) {
      const [tenant_id, host] = [init.tenantId, shown(url.host)];
      options.log.warn('outbound request refused', { tenant_id, host, refusal, reason: shown(error.message) });
    }
    notify(hop, refusal);
  }

  function notify({ url, redirected, method, init }: Hop, refusal: EgressRefusal | undefined) {
    options.onDecision?.({
      decision: refusal === undefined ? 'allowed' : 'refused',
      refusal,
      tenantId: init.tenantId,
      method,
      scheme: url.protocol.slice(0, -1),
      host: init.mask?.(url.host) ?? url.host,
      redirected,
      source: init.source,
    });
  }

  async function send(
    pool: Pool,
    url: URL,
    request: OutboundRequest,
    { signal, maxBytes: limit = maxBytes }: EgressInit,
  ): Promise<{ answer: OutboundAnswer } | { status: number; next: URL }> {
    try {
      const { statusCode, headers, body } = await pool.request({
        path: url.pathname + url.search,
        method: request.method,
        headers: request.headers,
        body: request.body ?? null,
        signal,
      });
      const flat = flattenHeaders(headers);
      const next = redirectTarget(statusCode, flat['location'], url);
      if (next === undefined) return { answer: await readAnswer(statusCode, flat, body, Math.min(limit, maxBytes)) };
      await body.dump();
      return { status: statusCode, next };
    } catch (error) {
      if (error instanceof EgressError) throw error;
      throw new EgressError('unreachable', `${url.origin} could not be reached (${reasonOf(error)})`, { cause: error });
    }
  }

  return {
    async fetch(text, init) {
      if (!URL.canParse(text)) throw new EgressError('bad_request', `${JSON.stringify(text)} is not an absolute URL`);
      const url = new URL(text);
      init.signal.throwIfAborted();
      try {
        return await untilAborted(follow(url, init), init.signal);
      } catch (error) {
        if (init.signal.aborted) throw init.signal.reason;
        throw error;
      }
    },
    close: () => pools.close(),
  };
}

/** The code of a network fault (`ECONNREFUSED`, `UND_ERR_SOCKET`), which says more than most messages. */
function reasonOf(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return 'connection failed';
}

/** A DNS lookup cannot be cancelled, so it is abandoned at the deadline. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
