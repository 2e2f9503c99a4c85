/**
 * Which of two states of a service wins, at every installation alike and in whatever order they come: the one with the
 * higher version, and of two with the same the one from the installation whose id comes later. A deletion is a state too.
 */
export interface Versioned {
  version: number;
  /** The installation where it was made. */
  origin: string;
}

export function supersedes(incoming: Versioned, current: Versioned | undefined): boolean {
  if (current === undefined || incoming.version > current.version) return true;
  return incoming.version === current.version && incoming.origin > current.origin;
}
