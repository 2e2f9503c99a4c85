/** The services that decide about sessions and issue their tokens, as sessions call them. */
import type { ApiParts, WorkerParts } from '../../feature.ts';
import type { IdentityClient } from '../identity/assemble.ts';
import type { Decided, PolicyClient } from '../policy/ask-policy.ts';

/** How a process gets them; undefined: none is configured. */
export interface SessionClients {
  policy(parts: ApiParts, count: (result: Decided) => void): PolicyClient | undefined;
  identity(parts: WorkerParts): Pick<IdentityClient, 'issueToken'> | undefined;
  /** The action type of Kubernetes jobs. */
  jobType?: string;
}
