/** What a tenant's newest runs and their events say, in the words of the older platform's reports. */

export type Severity = 'low' | 'med' | 'high';
export type Level = 'info' | 'warn' | 'error';

/** `run.requested` is the acceptance of a run, which the others follow. */
export interface PlatformEvent {
  kind: string;
  actionId: string | null;
}

export interface RunReport {
  summary: { total: number; by_severity: Partial<Record<Severity, number>> };
  log_analysis: {
    overview: { count: number; by_level: Partial<Record<Level, number>> };
    sample: Array<{ service: string; level: Level; message: string }>;
  };
}

/** Of all lines of the report. */
export const SERVICE = 'orchestrator';
const SAMPLE = 10;

const SEVERITIES: ReadonlyMap<string, Severity> = new Map([
  ['completed', 'low'],
  ['cancelled', 'med'],
  ['compensated', 'med'],
  ['failed', 'high'],
  ['timed_out', 'high'],
  ['compensation_failed', 'high'],
]);
/** By the last part of a kind; what is not here is `info`. */
const LEVELS: ReadonlyMap<string, Level> = new Map([
  ['failed', 'error'],
  ['timed_out', 'error'],
  ['compensation_failed', 'error'],
  ['upstream_failed', 'error'],
  ['retried', 'warn'],
  ['cancelled', 'warn'],
  ['compensating', 'warn'],
  ['late_effect', 'warn'],
]);

/** Runs that have not ended are not counted. `events`: newest first; those that the filter lets through, up to its limit. */
export function runReport(
  statuses: readonly string[],
  events: readonly PlatformEvent[],
  { limit, service, level }: { limit: number; service: string | undefined; level: string | undefined },
): RunReport {
  const severities = statuses.map((status) => SEVERITIES.get(status)).filter((severity) => severity !== undefined);
  const selected = service === undefined || service === SERVICE ? events : [];
  const lines = selected
    .map((event) => ({ service: SERVICE, level: levelOf(event.kind), message: messageOf(event) }))
    .filter((line) => level === undefined || line.level === level)
    .slice(0, limit);
  return {
    summary: { total: severities.length, by_severity: counted(severities) },
    log_analysis: {
      overview: { count: lines.length, by_level: counted(lines.map((line) => line.level)) },
      sample: lines.slice(0, SAMPLE),
    },
  };
}

function levelOf(kind: string): Level {
  return LEVELS.get(kind.slice(kind.lastIndexOf('.') + 1)) ?? 'info';
}

function messageOf({ kind, actionId }: PlatformEvent): string {
  const words = `workflow ${kind.replaceAll(/[._]/g, ' ')}`;
  return actionId === null ? words : `${words}: ${actionId}`;
}

function counted<Name extends string>(names: readonly Name[]): Partial<Record<Name, number>> {
  const found: Partial<Record<Name, number>> = {};
  for (const name of names) found[name] = (found[name] ?? 0) + 1;
  return found;
}
