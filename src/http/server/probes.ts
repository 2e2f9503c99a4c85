/** The paths of the liveness and readiness probes: open, and never counted by the rate limit. */
const PROBES: ReadonlySet<string> = new Set(['/health', '/livez', '/healthz', '/ready', '/readyz']);

export function isProbe(path: string): boolean {
  return PROBES.has(withoutSlash(path));
}

/** As express takes both. */
export function withoutSlash(path: string): string {
  return path.replace(/(?<=.)\/$/, '');
}
