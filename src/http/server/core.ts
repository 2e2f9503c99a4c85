/** What the HTTP server needs for itself, whatever it serves; `compose/` puts it together. */
import type { RequestHandler } from 'express';
import type { ErrorCode } from '../../domain/errors.ts';
import type { Audit } from '../../engine/ports/audit.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { WritePath } from '../../engine/recover/write-path.ts';
import type { Identify } from '../auth/identify.ts';
import type { BeforeChange } from '../middleware/before-change.ts';
import type { ApiSpans, RequestSpan } from '../middleware/context.ts';
import type { ApiLimits } from '../middleware/limits.ts';
import type { InTenant } from './operation.ts';
import type { DatabaseFaults } from './problem.ts';

export interface HttpConfig {
  /** `*`: any. */
  corsOrigins: readonly string[];
  /** The host names that are served; undefined: any. */
  hostNames?: readonly string[] | undefined;
  bodyLimitBytes: number;
  /** Whose X-Forwarded-For is believed; undefined: nobody's. */
  trustProxy?: number | readonly string[] | undefined;
  /** Every request is audited, not only those that change something. */
  auditReads: boolean;
  /** Where clients reach the service; undefined: links are paths. */
  publicUrl: string | undefined;
  version: string;
  /** The provider at which browsers log in, if they can. */
  authentication?: { readonly oidc?: { readonly issuer: string } | undefined };
  /** When this build was made, and of which commit, where it says so. */
  buildTime?: string | undefined;
  commitSha?: string | undefined;
  /** The certificate and key that it is served with, if it is. */
  tls?: object | undefined;
  /** How streams of events behave; each has a default. */
  streams?: { heartbeatMs?: number; patienceMs?: number; credentialsMs?: number };
}

export interface HttpCore extends DatabaseFaults {
  config: HttpConfig;
  log: Logger;
  /** The caller of a request, and its access. */
  identify: Identify;
  /** Where a browser logs in that wants to see `path`; undefined: no browser can. */
  loginFor?: ((path: string) => string) | undefined;
  inTenant: InTenant;
  audit: Audit;
  writePath: Pick<WritePath, 'fault' | 'lastFault'>;
  /** Bull Board, served under /admin/queues. */
  board: RequestHandler;
  /** Undefined: requests are not limited. */
  limits?: ApiLimits | undefined;
  /** What sees a request before its authentication. */
  before?: readonly RequestHandler[] | undefined;
  /** Each is asked before an operation changes something. */
  beforeChange?: readonly BeforeChange[] | undefined;
  /** Called for every answer; `endpoint` is the path of the operation, not that of the request. */
  answered?(request: {
    method: string;
    endpoint: string;
    status: number;
    seconds: number;
    traceId: string;
    problem: ErrorCode | undefined;
    span?: RequestSpan | undefined;
    tenantId?: string | undefined;
  }): void;
  /** Undefined: no spans are exported. */
  spans?: ApiSpans | undefined;
}
