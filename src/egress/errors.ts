/** Why an outbound request gave no answer. `workers/egress-fetch.ts` turns it into what the engine retries or not. */
export type EgressFault =
  /** The policy refuses the address. The message never says what would have answered. */
  | 'denied'
  /** The URL, the method or a header cannot be sent. */
  | 'bad_request'
  | 'unreachable'
  | 'too_large'
  /** The answer cannot be read, for example a broken gzip stream. */
  | 'bad_answer'
  | 'too_many_redirects';

export class EgressError extends Error {
  readonly fault: EgressFault;

  constructor(fault: EgressFault, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'EgressError';
    this.fault = fault;
  }
}
