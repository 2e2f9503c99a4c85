/** A definition as a client sent it becomes the canonical one, for the tenant of the client alone. */
import type { Definition } from '../../domain/definition/definition.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import type { JsonObject } from '../../schemas/json.ts';
import type { DefinitionRules } from '../ports/definitions.ts';
import type { Caller } from '../ports/use-cases.ts';

export async function readDefinition(
  rules: Pick<DefinitionRules, 'normalise'>,
  caller: Caller,
  written: JsonObject,
): Promise<Definition> {
  const { definition, tenantId } = await rules.normalise(caller.tenantId, written);
  rejectOtherTenant(tenantId, caller);
  return definition;
}

/** The flow form may say whose it is. */
function rejectOtherTenant(named: string | undefined, caller: Caller): void {
  if (named === undefined || named === caller.tenantId) return;
  throw new OrchestratorError(
    'forbidden',
    `The definition names the tenant '${named}'; you are in '${caller.tenantId}'`,
  );
}
