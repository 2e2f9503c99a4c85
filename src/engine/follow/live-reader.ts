/** One reader's way through what the running tasks of a run say; see domain/runs/live-reports.ts. */
import {
  chunkMessage,
  type LiveCursor,
  type LiveMessage,
  type LiveStep,
  newReports,
  type TaskReportRow,
} from '../../domain/runs/live-reports.ts';
import type { Json } from '../../schemas/json.ts';

/** What running tasks say of themselves, in the store. */
export interface LiveReports {
  /** The reports of the run's present epoch; those of before `since` may be left out. */
  reports(runId: string, since: Date | undefined): Promise<Array<TaskReportRow & { at: Date }>>;
  chunks(request: {
    runId: string;
    actionId: string;
    execution: string;
    after: number;
    upTo: number;
    limit: number;
  }): Promise<Array<{ n: number; chunk: Json }>>;
}

const CHUNKS_PER_PAGE = 100;

/** *late* until `hasCome`: what tasks said that have ended by then is left out. After that everything is read. */
export class LiveReader {
  readonly #live: LiveReports;
  readonly #runId: string;
  readonly #cursor: LiveCursor = new Map();
  #since: Date | undefined;
  #late = true;

  constructor(live: LiveReports, runId: string) {
    this.#live = live;
    this.#runId = runId;
  }

  hasCome(): void {
    this.#late = false;
  }

  async *news(): AsyncGenerator<LiveMessage[]> {
    const rows = await this.#live.reports(this.#runId, this.#since);
    this.#since = rows.at(-1)?.at ?? this.#since;
    for (const step of newReports(this.#cursor, rows, this.#late)) yield* this.#messages(step);
  }

  async *#messages({ row, before, chunksAfter, behind }: LiveStep): AsyncGenerator<LiveMessage[]> {
    if (before.length > 0) yield before;
    const { actionId, execution, chunks: upTo } = row;
    for (let after = chunksAfter; after !== undefined && after < upTo; ) {
      const page = await this.#live.chunks({
        runId: this.#runId,
        actionId,
        execution,
        after,
        upTo,
        limit: CHUNKS_PER_PAGE,
      });
      if (page.length > 0) yield page.map(({ n, chunk }) => chunkMessage(row, n, chunk));
      // Fewer than there were: a new attempt has replaced them, and is read next.
      after = page.length < CHUNKS_PER_PAGE ? undefined : page.at(-1)?.n;
    }
    if (behind.length > 0) yield behind;
  }
}
