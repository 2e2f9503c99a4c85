/** What is counted of sessions. */
import { Counter } from 'prom-client';

export function memoryFailureCounter(): Counter {
  return new Counter({
    name: 'orchestrator_memory_failures_total',
    help: 'How often the memory gateway was given up on; the session went on',
    registers: [],
  });
}
