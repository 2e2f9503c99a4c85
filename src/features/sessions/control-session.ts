/** What is done with a session that was started: the control of its execution, its approval, and what is sent to it. */
import { OrchestratorError } from '../../domain/errors.ts';
import type { RunReader } from '../../engine/ports/read-models.ts';
import type { CancelRuns, PauseRuns, RetryRuns } from '../../engine/ports/use-cases.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import type { Approvals } from '../approvals/decide-approvals.ts';
import type { PolicyClient } from '../policy/ask-policy.ts';
import { policyDenied } from '../policy/before-change.ts';
import type { Signals } from '../signals/send-signal.ts';
import { MAX_MESSAGES, MESSAGE, ROUNDS, type SessionStatus, sessionStatus } from './domain.ts';
import { sessionOwner } from './parameters.ts';
import type { SessionRow, SessionStore } from './ports.ts';
import { decide, type Starter } from './start-session.ts';

export interface ControlDeps {
  find(tenantId: string, id: string): Promise<SessionRow>;
  sessions: Pick<SessionStore, 'markTerminated' | 'extend'>;
  cancel: CancelRuns;
  pause: Pick<PauseRuns, 'pauseRun' | 'resumeRun'>;
  /** With the given deadline. */
  retry(ttlSeconds: number | undefined): RetryRuns;
  approvals: Pick<Approvals, 'decide'>;
  signals: Pick<Signals, 'sendTo'>;
  policy: PolicyClient | undefined;
  reader: Pick<RunReader, 'execution'>;
  ttlSeconds: number;
}

/** An action with what it takes. */
export type SessionAction =
  | { action: 'cancel' | 'terminate' | 'pause' | 'resume' | 'retry' | 'approve' | 'reject' }
  | { action: 'signal'; name: string; data: Json }
  | { action: 'message'; prompt: string; metadata: JsonObject }
  | { action: 'extend'; seconds: number | undefined };

/** What is done about one session. */
interface Request {
  actor: Starter;
  row: SessionRow;
  reason: string | undefined;
}

export function createControlSession(deps: ControlDeps) {
  async function terminate({ actor: { caller }, row, reason }: Request): Promise<void> {
    // Before the cancellation: whoever ends the run in between ends it as terminated.
    if (!(await deps.sessions.markTerminated(caller.tenantId, row.runId))) throw ended(row);
    await deps.cancel.cancelRun(caller, row.runId, reason);
  }

  async function signal({ actor, row }: Request, name: string, data: Json): Promise<void> {
    if (name === MESSAGE) {
      const message = `'${MESSAGE}' is sent by the action message`;
      throw new OrchestratorError('invalid_request', message, { errors: [{ path: 'payload.name', message }] });
    }
    await send({ actor, row }, { name, payload: data });
  }

  async function message({ actor, row }: Request, prompt: string, metadata: JsonObject): Promise<void> {
    requireOpen(row);
    const run = await deps.reader.execution(actor.caller.tenantId, row.runId);
    const whose = sessionOwner.safeParse(run?.parameters);
    if (!whose.success) throw ended(row);
    const about = { session_id: row.sessionId, ...whose.data, role: actor.role };
    const decision = await decide(deps.policy, actor, { ...about, prompt, metadata });
    if (!decision.allowed) throw policyDenied(decision);
    const payload = { prompt, metadata, decision: decision as JsonObject };
    await send({ actor, row }, { name: MESSAGE, payload, most: MAX_MESSAGES });
  }

  async function send(
    { actor: { caller, idempotencyKey }, row }: Pick<Request, 'actor' | 'row'>,
    { most, ...message }: { name: string; payload: Json; most?: number },
  ): Promise<void> {
    const taker = { actionId: ROUNDS, actionType: 'session_step', most };
    await deps.signals.sendTo(taker, caller, row.runId, { ...message, requestKey: idempotencyKey });
  }

  async function extend({ actor, row }: Request, seconds: number): Promise<void> {
    requireOpen(row);
    if ((await deps.sessions.extend(actor.caller.tenantId, row.runId, seconds)) === undefined) throw ended(row);
  }

  async function approval({ actor, row, reason: comment }: Request, verdict: 'approved' | 'rejected'): Promise<void> {
    const decision = { actionId: 'approval', verdict, comment };
    await deps.approvals.decide(actor.caller, row.runId, decision, actor.idempotencyKey);
  }

  async function carryOut(request: Request, what: SessionAction): Promise<unknown> {
    const { actor, row, reason } = request;
    switch (what.action) {
      case 'cancel':
        return deps.cancel.cancelRun(actor.caller, row.runId, reason);
      case 'terminate':
        return terminate(request);
      case 'pause':
        return deps.pause.pauseRun(actor.caller, row.runId, reason);
      case 'resume':
        return deps.pause.resumeRun(actor.caller, row.runId, reason);
      case 'retry':
        return deps.retry(row.keepOpen ? deps.ttlSeconds : undefined).retryRun(actor.caller, row.runId, reason);
      case 'signal':
        return signal(request, what.name, what.data);
      case 'approve':
        return approval(request, 'approved');
      case 'reject':
        return approval(request, 'rejected');
      case 'message':
        return message(request, what.prompt, what.metadata);
      case 'extend':
        return extend(request, what.seconds ?? deps.ttlSeconds);
    }
  }

  /** How the session stands after it. 404 unknown, 409 where it is in no state for it. */
  return async (
    actor: Starter,
    id: string,
    what: SessionAction,
    reason: string | undefined,
  ): Promise<{ sessionId: string; status: SessionStatus }> => {
    const { tenantId } = actor.caller;
    const row = await deps.find(tenantId, id);
    await carryOut({ actor, row, reason }, what);
    const { sessionId, status, terminated } = await deps.find(tenantId, row.sessionId);
    return { sessionId, status: sessionStatus(status, terminated) };
  };
}

function requireOpen({ keepOpen, sessionId }: SessionRow): void {
  if (keepOpen) return;
  throw new OrchestratorError('conflict', `The session '${sessionId}' was not started with keep_open`);
}

function ended({ status, terminated }: SessionRow): OrchestratorError {
  return new OrchestratorError(
    'already_final',
    `The session has ended or is ending: ${sessionStatus(status, terminated)}`,
  );
}
