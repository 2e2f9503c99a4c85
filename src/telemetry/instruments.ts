/** Instruments of one registry. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Every series of ours has it. */
export const SERVICE = { service: 'orchestrator' };

export interface Instruments {
  registry: Registry;
  counter<L extends string>(name: string, help: string, labelNames?: L[]): Counter<L>;
  histogram<L extends string>(name: string, help: string, buckets: number[], labelNames?: L[]): Histogram<L>;
  /** Set at each scrape. Undefined: it is not known, and not shown. */
  gauge(name: string, help: string, read: () => number | undefined | Promise<number | undefined>): void;
  /** The same with labels: what is not set at this scrape is not shown any more. */
  gauges<L extends string>(
    name: string,
    help: string,
    labelNames: L[],
    read: () => Array<[Record<L, string>, number]> | Promise<Array<[Record<L, string>, number]>>,
  ): void;
}

export function createInstruments(): Instruments {
  const registry = new Registry();
  registry.setDefaultLabels(SERVICE);
  const registers = [registry];
  return {
    registry,
    counter: (name, help, labelNames = []) => new Counter({ name, help, labelNames, registers }),
    histogram: (name, help, buckets, labelNames = []) => new Histogram({ name, help, buckets, labelNames, registers }),
    gauge(name, help, read) {
      new Gauge({
        name,
        help,
        registers,
        async collect() {
          const value = await read();
          if (value === undefined) this.remove();
          else this.set(value);
        },
      });
    },
    gauges(name, help, labelNames, read) {
      new Gauge({
        name,
        help,
        labelNames,
        registers,
        async collect() {
          const found = await read();
          this.reset();
          for (const [labels, value] of found) this.set(labels, value);
        },
      });
    },
  };
}
