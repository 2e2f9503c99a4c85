/** The role that a policy is asked about. */
import type { Response } from 'express';
import { accessOf } from '../../http/middleware/context.ts';

const NOBODY = 'anonymous';

export function roleOf(response: Response): string {
  const { means, roles } = accessOf(response);
  return means === 'none' ? NOBODY : (roles[0] ?? NOBODY);
}
