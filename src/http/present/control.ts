/** Who paused something, and what was done to workflows and lanes. */

import { isoText } from '../../domain/texts/iso-text.ts';
import type { ControlEvent } from '../../engine/ports/read-models.ts';
import type { PausedBy } from '../../engine/ports/run-views.ts';
import type * as schemas from '../../schemas/control.ts';

export function presentPausedBy({ by, since, reason }: PausedBy): schemas.PausedBy {
  return { by, since: isoText(since), reason };
}

export function presentControlEvent(event: ControlEvent): schemas.ControlEvent {
  const { id, subject, subjectId, kind, by, reason, details, at } = event;
  return { id, subject, subject_id: subjectId, kind, by, reason, details, at: isoText(at) };
}
