/** Events of runs in memory, numbered as they are added, behind the port of the store. */
import type { RunEvent } from '../../src/domain/runs/run-events.ts';
import type { EventsRequest, RunEvents, SeenRun } from '../../src/engine/follow/follow-run.ts';

export const AT = '2030-01-01T12:00:00.000Z';

export interface FakeRunEvents extends RunEvents {
  runs: Map<string, SeenRun>;
  /** Runs asked about, look by look. */
  looks: string[][];
  pages: EventsRequest[];
  add(runId: string, kind: string, more?: Partial<RunEvent>): void;
  end(runId: string, kind: string): void;
  /** The next looks fail. */
  away: boolean;
}

export function fakeRunEvents(...runIds: string[]): FakeRunEvents {
  const stored = new Map<string, RunEvent[]>();
  const fake: FakeRunEvents = {
    runs: new Map(
      runIds.map((id) => [id, { tenantId: 'default', final: false, startedAt: null, last: 0, reports: 0 }]),
    ),
    looks: [],
    pages: [],
    away: false,
    add(runId, kind, more = {}) {
      const events = stored.get(runId) ?? [];
      stored.set(runId, events);
      const id = events.length + 1;
      events.push({ id, kind, actionId: null, epoch: 1, attempt: null, at: new Date(AT), details: null, ...more });
      const run = fake.runs.get(runId);
      if (run !== undefined) fake.runs.set(runId, { ...run, last: id });
    },
    end(runId, kind) {
      fake.add(runId, kind);
      const run = fake.runs.get(runId);
      if (run !== undefined) fake.runs.set(runId, { ...run, final: true });
    },
    progress(asked) {
      fake.looks.push([...asked]);
      if (fake.away) return Promise.reject(new Error('connect ECONNREFUSED'));
      const found = asked.flatMap((id): [string, SeenRun][] => {
        const run = fake.runs.get(id);
        return run === undefined ? [] : [[id, { ...run }]];
      });
      return Promise.resolve(new Map(found));
    },
    page(request) {
      fake.pages.push(request);
      const events = (stored.get(request.runId) ?? []).filter(({ id }) => id > request.after);
      return Promise.resolve(events.slice(0, request.limit));
    },
  };
  return fake;
}
