/** Why an outbound request gave no answer. `workers/egress-fetch.ts` turns it into what the engine retries or not. */
export type EgressFault =
  /** The policy refuses the address. The message never says what would have answered. */
  | 'denied'
  /** Who asks does not let it go there. */
  | 'withheld'
  /** The URL, the method or a header cannot be sent. */
  | 'bad_request'
  | 'unreachable'
  | 'too_large'
  /** The answer cannot be read, for example a broken gzip stream. */
  | 'bad_answer'
  | 'too_many_redirects';

/** Why the policy refused: for the log, the metric and the audit. The message of the error says less. */
export type EgressRefusal =
  | 'scheme'
  | 'user_information'
  | 'metadata_service'
  | 'reserved_address'
  | 'own_listener'
  | 'policy'
  | 'denied_to_tenant'
  | 'redirected_body'
  /** A secret that it holds may not go there. */
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

/** Refused for what the URL itself says: that may be told. */
export function refusedUrl(url: URL, refusal: EgressRefusal, why: string): EgressError {
  return new EgressError('denied', `the outbound policy refuses ${placeOf(url)} (${why})`, { refusal });
}

/** Refused for where it leads: what a name resolved to, and what listens there, stays untold. */
export function refusedPlace(url: URL, refusal: EgressRefusal, policy: string): EgressError {
  return new EgressError('denied', `the outbound policy (${policy}) refuses ${placeOf(url)}`, { refusal });
}

/** Without what may be a password. */
function placeOf(url: URL): string {
  return `${url.protocol}//${url.host}`;
}
