/** The paths that tell machines whether this process lives and is ready: open, never counted, and asked all the time. */
const PROBES: ReadonlySet<string> = new Set(['/health', '/livez', '/healthz', '/ready', '/readyz']);

export function isProbe(path: string): boolean {
  return PROBES.has(withoutSlash(path));
}

/** As express takes both. */
export function withoutSlash(path: string): string {
  return path.replace(/(?<=.)\/$/, '');
}
