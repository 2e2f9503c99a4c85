/** A finished span, as the engine makes it and the exporter sends it to a collector of traces. */

export type SpanAttributes = Record<string, string | number | boolean>;

/** One that is over. Neither parameters nor outputs are ever in it, and messages are masked. */
export interface EndedSpan {
  traceId: string;
  spanId: string;
  parentId: string | null;
  name: string;
  kind: 'server' | 'client' | 'producer' | 'consumer' | 'internal';
  /** Milliseconds since 1970. */
  startMs: number;
  endMs: number;
  attributes: SpanAttributes;
  links?: ReadonlyArray<{ traceId: string; spanId: string }>;
  error?: { type: string; message?: string | undefined } | undefined;
}
