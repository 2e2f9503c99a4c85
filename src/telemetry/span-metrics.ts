/** What became of the spans of this process that were to go to a collector. */
import { Counter, type Registry } from 'prom-client';

const RESULTS = ['exported', 'dropped'] as const;
export type SpanResult = (typeof RESULTS)[number];

export function spanCounter(registry: Registry): (result: SpanResult, spans: number) => void {
  const counter = new Counter({
    name: 'orchestrator_spans_total',
    help: 'Spans for the collector of traces, by what became of them: exported, or dropped because it is away or too slow',
    labelNames: ['result'],
    registers: [registry],
  });
  for (const result of RESULTS) counter.inc({ result }, 0);
  return (result, spans) => counter.inc({ result }, spans);
}
