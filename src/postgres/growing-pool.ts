/**
 * Connections to PostgreSQL that are opened one after the other, for as long as somebody waits for one.
 *
 * A pool of `pg` opens a connection for everybody who asks while all others are in use. Each is a process of the server
 * that reads the catalog and plans every statement anew (about 10 ms of CPU on both sides together), and each counts
 * against `max_connections`: the loops of a worker that has just started ask all at once, and would have its whole pool
 * for what two connections do one after the other in a moment.
 */
import pg from 'pg';

/** One is often taken by a transaction around what the others run. */
const FIRST = 2;
/** Longer than most statements take: as long as whoever waits gets one that is given back, no other one is needed. */
const PATIENCE_MS = 50;

type Callback = (
  error: Error | undefined,
  client: pg.PoolClient | undefined,
  done: (release?: boolean | Error) => void,
) => void;

export class GrowingPool extends pg.Pool {
  /** As many as it may have; `options.max` is how many it may have now. */
  readonly limit: number;
  readonly #patienceMs: number;
  #growing: NodeJS.Timeout | undefined;

  constructor(config: pg.PoolConfig, patienceMs = PATIENCE_MS) {
    super(config);
    this.#patienceMs = patienceMs;
    this.limit = this.options.max;
    this.options.max = Math.min(FIRST, this.limit);
    // What was closed because nobody needed it is not opened for the next burst either. While somebody waits it is replaced.
    this.on('remove', () => {
      if (this.waitingCount === 0) this.options.max = Math.min(this.limit, Math.max(FIRST, this.totalCount));
    });
  }

  override connect(): Promise<pg.PoolClient>;
  override connect(callback: Callback): void;
  override connect(callback?: Callback): Promise<pg.PoolClient> | undefined {
    const client = callback === undefined ? super.connect() : super.connect(callback);
    this.#growLater();
    return client as Promise<pg.PoolClient> | undefined; // As it was asked.
  }

  #mayGrow(): boolean {
    return !this.ending && this.waitingCount > 0 && this.options.max < this.limit;
  }

  /** For as long as anybody waits, also if a connection is free at this moment: somebody else may be about to have it. */
  #growLater(): void {
    if (this.#growing !== undefined || !this.#mayGrow()) return;
    this.#growing = setTimeout(() => {
      this.#growing = undefined;
      this.#grow();
    }, this.#patienceMs);
    this.#growing.unref();
  }

  #grow(): void {
    if (this.#mayGrow() && this.idleCount === 0) {
      this.options.max += 1;
      // A pool looks whether it has room when somebody asks, and whether anybody waits when a connection is given back.
      super.connect((_error, _client, done) => done());
    }
    this.#growLater();
  }
}
