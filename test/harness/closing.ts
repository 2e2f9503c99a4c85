/** What has been opened is closed in the opposite order. */
export interface Closing {
  push(step: () => unknown): void;
  /** Every step is taken once, whatever becomes of those before it; rejects with the first thing that went wrong. */
  close(): Promise<void>;
}

export function createClosing(): Closing {
  const steps: Array<() => unknown> = [];
  let closed: Promise<void> | undefined;
  async function closeAll(): Promise<void> {
    const faults: unknown[] = [];
    for (const step of steps.splice(0).reverse()) {
      try {
        await step();
      } catch (error) {
        faults.push(error);
      }
    }
    if (faults.length > 0) throw faults[0];
  }
  return {
    push: (step) => void steps.push(step),
    close() {
      closed ??= closeAll();
      return closed;
    },
  };
}
