/** Action types that take a permission of their own, wherever somebody wants an action or a task of one. */
import { missing } from '../../domain/access.ts';
import type { Definition } from '../../domain/definition/definition.ts';
import type { ActionTypes, Caller } from '../ports/use-cases.ts';

export type PermissionsOfTypes = Pick<ActionTypes, 'permissionOf'>;

/** `type`: a canonical one. */
export function checkTypePermission(types: PermissionsOfTypes, caller: Caller, type: string): void {
  const permission = types.permissionOf(type);
  if (permission !== undefined && caller.may?.(permission) === false) throw missing(permission);
}

/** Its compensations among them. */
export function checkPermissions(types: PermissionsOfTypes, caller: Caller, { actions }: Definition): void {
  for (const { action_type: type, compensate } of actions) {
    checkTypePermission(types, caller, type);
    if (compensate !== undefined) checkTypePermission(types, caller, compensate.action_type);
  }
}
