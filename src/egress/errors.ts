/** Why an outbound request gave no answer. `workers/egress-fetch.ts` turns it into what the engine retries or not. */
export type EgressFault =
  /** The policy denies the address. The message never reveals what would have answered. */
  | 'denied'
  /** The caller withholds the request from that URL. */
  | 'withheld'
  /** The URL, the method or a header cannot be sent. */
  | 'bad_request'
  | 'unreachable'
  | 'too_large'
  /** The answer cannot be read, for example a broken gzip stream. */
  | 'bad_answer'
  | 'too_many_redirects';

/** The reason of the denial, for the log, the metric and the audit. The message of the error says less. */
export type EgressRefusal =
  | 'scheme'
  | 'user_information'
  | 'metadata_service'
  | 'reserved_address'
  | 'own_listener'
  | 'policy'
  | 'denied_to_tenant'
  | 'redirected_body'
  /** The request contains a secret that may not be sent there. */
  | 'withheld';

export class EgressError extends Error {
  readonly fault: EgressFault;
  /** Of `denied` only. */
  readonly refusal: EgressRefusal | undefined;

  constructor(fault: EgressFault, message: string, details: { cause?: unknown; refusal?: EgressRefusal } = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'EgressError';
    this.fault = fault;
    this.refusal = details.refusal;
  }
}

/** The URL itself is denied: its reason may be shown. */
export function deniedUrl(url: URL, refusal: EgressRefusal, why: string): EgressError {
  return new EgressError('denied', `the outbound policy refuses ${originOf(url)} (${why})`, { refusal });
}

/** The target is denied: what a name resolved to, and what listens there, is not revealed. */
export function deniedTarget(url: URL, refusal: EgressRefusal, policy: string): EgressError {
  return new EgressError('denied', `the outbound policy (${policy}) refuses ${originOf(url)}`, { refusal });
}

/** Without what may be a password. */
function originOf(url: URL): string {
  return `${url.protocol}//${url.host}`;
}
