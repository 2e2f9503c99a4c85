/**
 * The events of one run as readers see them: numbered from 1 without gaps, in an order that never changes. The number is
 * also the position from which a reader goes on. Before them all comes `run.started` with number 0, which is not a row:
 * it follows from the run.
 */
import type { JsonObject } from '../../schemas/json.ts';
import type { Instant } from '../texts/iso-text.ts';

export interface RunEvent {
  id: number;
  /** `run.started`, `task.completed`, … */
  kind: string;
  actionId: string | null;
  epoch: number;
  attempt: number | null;
  at: Instant;
  details: JsonObject | null;
}

/** How far a run is, seen at one moment. */
export interface RunProgress {
  /** It has ended, and every event of it has its number. */
  final: boolean;
  startedAt: Instant | null;
  /** The number of its newest event; 0: none yet. */
  last: number;
}

/** The position of a reader that has seen nothing. */
export const FROM_THE_START = -1;
const STARTED = 0;
/** The column of the numbers is an int4. */
const LARGEST = 2 ** 31 - 1;

/** The position after the event with this id, as a reader sends it back; undefined: not an id of ours. */
export function readPosition(text: string): number | undefined {
  if (!/^(?:0|[1-9]\d{0,9})$/.test(text)) return undefined;
  const position = Number(text);
  return position <= LARGEST ? position : undefined;
}

/** True for a position that no reader of this run can have. */
export function isAhead(progress: RunProgress, after: number): boolean {
  return after > Math.max(progress.last, STARTED);
}

export function hasNews(progress: RunProgress, after: number): boolean {
  return progress.last > Math.max(after, STARTED) || (after < STARTED && hasStarted(progress));
}

/**
 * Nothing more is to come. A reader may be ahead of what was seen: the run ended, was retried, and it has read on already.
 * Then it has not ended for it.
 */
export function hasEnded(progress: RunProgress, after: number): boolean {
  return progress.final && after === progress.last;
}

/** What comes next for a reader: the stored events after its position, and the start before them. */
export function eventsAfter(progress: RunProgress, after: number, stored: readonly RunEvent[]): RunEvent[] {
  if (after >= STARTED || (!hasStarted(progress) && stored.length === 0)) return [...stored];
  const at = progress.startedAt ?? stored[0]?.at;
  if (at === undefined) return [...stored];
  const started = { id: STARTED, kind: 'run.started', actionId: null, epoch: 1, attempt: null, at, details: null };
  return [started, ...stored];
}

/** A task shows that the run has started before the run itself is marked, which comes in batches. */
function hasStarted({ final, startedAt, last }: RunProgress): boolean {
  return final || startedAt !== null || last > 0;
}
