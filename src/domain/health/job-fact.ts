/** How a job stands in the queue. */
export interface JobFact {
  state: 'waiting' | 'active' | 'delayed' | 'waiting-children' | 'completed' | 'failed' | 'missing';
  /** How many jobs of the lane come first, counted up to some. */
  ahead?: number | undefined;
  /** Of the last time that it was delayed. */
  delayMs?: number | undefined;
  /** Of the one who has it; null: it has run out. */
  lockLeftMs?: number | null | undefined;
}
