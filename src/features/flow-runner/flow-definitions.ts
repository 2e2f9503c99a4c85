/**
 * The definitions that come with requests: each is checked as `POST /workflows` does and stored once, however often it
 * comes, as an unlisted workflow whose id is made of its content.
 */
import { createHash } from 'node:crypto';
import { missing } from '../../domain/access.ts';
import type { Definition } from '../../domain/definition/definition.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import { canonicalJson } from '../../engine/accept/request-hash.ts';
import type { ManageWorkflows } from '../../engine/ports/manage-workflows.ts';
import type { ActionTypes, Caller } from '../../engine/ports/use-cases.ts';
import { checkPermissions } from '../../engine/workflows/check-permissions.ts';
import type { JsonObject } from '../../schemas/json.ts';
import { handlersIn, isFlowForm, withOutputsOfAll } from './domain.ts';
import type { FlowInbox } from './ports.ts';
import type { IsPublished } from './published-handlers.ts';

/** Most flows come again and again, and need not be checked each time. */
const MAX_CACHED = 1_000;
const FIELD = 'flow_definition';

export interface FlowDefinitions {
  /** The id of its workflow. 400 with all faults, 403 for who may not save workflows. */
  idOf(caller: Caller, written: JsonObject): Promise<string>;
  /** It is not there any more. */
  forget(caller: Caller, written: JsonObject): void;
}

export interface FlowDefinitionDeps {
  workflows: Pick<ManageWorkflows, 'validate'>;
  inbox: Pick<FlowInbox, 'storeDefinition'>;
  actionTypes: Pick<ActionTypes, 'canonical' | 'permissionOf'>;
  /** Handlers that need no adapter. */
  isPublished: IsPublished;
  /** What an unlisted id begins with. */
  prefix: string;
}

interface Stored {
  id: string;
  definition: Definition;
}

export function createFlowDefinitions(deps: FlowDefinitionDeps): FlowDefinitions {
  const cache = new Map<string, Promise<Stored>>();

  async function store(caller: Caller, written: JsonObject): Promise<Stored> {
    const checked = await deps.workflows.validate(caller, written).catch((error: unknown) => {
      throw placed(error, unknownHandlers(written));
    });
    const definition = isFlowForm(written) && checked.output === undefined ? withOutputsOfAll(checked) : checked;
    const id = `${deps.prefix}${digestOf([caller.tenantId, definition]).slice(0, 32)}`;
    await deps.inbox.storeDefinition(caller, id, definition);
    return { id, definition };
  }

  function unknownHandlers(written: JsonObject): string[] {
    return handlersIn(written).filter(
      (handler) => deps.actionTypes.canonical(handler) === undefined && !deps.isPublished(handler),
    );
  }

  return {
    async idOf(caller, written) {
      if (caller.may?.('workflows:write') === false) throw missing('workflows:write');
      const key = digestOf([caller.tenantId, written]);
      const cached = cache.get(key);
      const storing = cached ?? store(caller, written);
      // What was used last is last, and what failed is not cached.
      cache.delete(key);
      cache.set(key, storing);
      if (cached === undefined) {
        storing.catch(() => cache.delete(key));
        for (const oldest of cache.keys()) {
          if (cache.size <= MAX_CACHED) break;
          cache.delete(oldest);
        }
      }
      const { id, definition } = await storing;
      // It may have been somebody else who was let to save it.
      checkPermissions(deps.actionTypes, caller, definition);
      return id;
    },
    forget(caller, written) {
      cache.delete(digestOf([caller.tenantId, written]));
    },
  };
}

function digestOf(content: unknown): string {
  return createHash('sha256').update(canonicalJson(content)).digest('hex');
}

/** Faults of the definition are faults of the request, below its field. */
function placed(error: unknown, unknownHandlers: readonly string[]): unknown {
  if (!(error instanceof OrchestratorError)) return error;
  if (error.code !== 'invalid_request' && error.code !== 'definition_invalid') return error;
  const errors = error.errors.map(({ path, message }) => ({ path: path === '' ? FIELD : `${FIELD}.${path}`, message }));
  const [unknown] = unknownHandlers;
  if (unknown === undefined) return new OrchestratorError('invalid_request', 'Invalid flow definition', { errors });
  return new OrchestratorError('unknown_handler', `Invalid flow definition: unknown handler '${unknown}'`, { errors });
}
