/** Late effects as the API shows them. */

import { isoText } from '../../domain/texts/iso-text.ts';
import type { LateEffect, ListedLateEffect, SeenLateEffect } from '../../engine/ports/late-effects.ts';
import type * as schemas from '../../schemas/late-effects.ts';

export function presentLateEffect(effect: LateEffect): schemas.LateEffect {
  return { ...seenIn(effect), output: effect.output };
}

export function presentListedLateEffect(effect: ListedLateEffect): schemas.ListedLateEffect {
  return { execution_id: effect.runId, execution_status: effect.runStatus, ...seenIn(effect) };
}

function seenIn({ actionId, attempt, epoch, at, worker, compensated }: SeenLateEffect) {
  return { action_id: actionId, attempt, epoch, at: isoText(at), worker, compensated };
}
