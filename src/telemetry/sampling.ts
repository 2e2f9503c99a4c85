/** Whether a trace is exported, by the samplers that OpenTelemetry names in OTEL_TRACES_SAMPLER. */
export const SAMPLERS = [
  ...(['always_on', 'always_off', 'traceidratio'] as const),
  ...(['parentbased_always_on', 'parentbased_always_off', 'parentbased_traceidratio'] as const),
] as const;
export type SamplerName = (typeof SAMPLERS)[number];

const ALL = 2 ** 32;
const LARGEST = ALL - 1;

/** `parent`: what the caller has decided; undefined: there was none. Equal arguments give equal answers in every process. */
export function createSampler(name: SamplerName, ratio: number): (traceId: string, parent?: boolean) => boolean {
  const isBelow = (traceId: string) => below(traceId, ratio);
  switch (name) {
    case 'always_on':
      return () => true;
    case 'always_off':
      return () => false;
    case 'traceidratio':
      return isBelow;
    case 'parentbased_always_on':
      return (_traceId, parent) => parent ?? true;
    case 'parentbased_always_off':
      return (_traceId, parent) => parent ?? false;
    case 'parentbased_traceidratio':
      return (traceId, parent) => parent ?? isBelow(traceId);
  }
}

/** All four words of the id count, as in the samplers of OpenTelemetry for JavaScript: not every caller makes all of it random. */
function below(traceId: string, ratio: number): boolean {
  let sum = 0;
  for (let at = 0; at < 32; at += 8) sum = (sum ^ Number.parseInt(traceId.slice(at, at + 8), 16)) >>> 0;
  return sum < (ratio === 1 ? ALL : Math.floor(ratio * LARGEST));
}
