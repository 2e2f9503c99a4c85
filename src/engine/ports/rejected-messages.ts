/** Messages that could not be taken in. They are listed, retried and discarded among the dead letters. */

export interface RejectedMessage {
  id: string;
  topic: string;
  partition: number;
  offset: string;
  key: string | null;
  headers: Readonly<Record<string, string>>;
  code: string;
  error: string;
  originalBase64: string;
  retryable: boolean;
  failedAt: Date;
}

export interface RejectedMessageFilter {
  ids?: readonly string[] | undefined;
  code?: string | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
}

export interface RejectedMessageStats {
  failed: number;
  retryable: number;
  retried: number;
  oldest: Date | null;
  newest: Date | null;
}

export interface RejectedMessages {
  /** Newest first; `after`: those that failed before that, or at that time with a smaller id. Without an id: at that time too. */
  list(
    tenantId: string,
    filter: RejectedMessageFilter,
    window: { limit: number; after: { failedAt: Date; id: string | undefined } | undefined },
  ): Promise<RejectedMessage[]>;
  count(tenantId: string, filter: RejectedMessageFilter): Promise<number>;
  stats(tenantId: string): Promise<RejectedMessageStats>;
  /** They come again as they were; the oldest first, at most `limit`. Resolves to how many. */
  retry(tenantId: string, filter: RejectedMessageFilter, limit: number): Promise<number>;
  discard(tenantId: string, filter: RejectedMessageFilter, limit: number): Promise<number>;
}
