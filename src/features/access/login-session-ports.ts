/** Sessions of browsers, as far as they are stored: that each was started, and whether it was ended before its time. */

export interface LoginSession {
  id: string;
  userId: string;
  createdAt: Date;
  expiresAt: Date;
}

/** For a tenant. `userId`: of that user alone; undefined: of everybody. Those that are over or ended are none. */
export interface LoginSessions {
  list(
    tenantId: string,
    userId: string | undefined,
    page: number,
    pageSize: number,
  ): Promise<{ items: LoginSession[]; total: number }>;
  /** False: there is no such session. */
  end(tenantId: string, userId: string | undefined, id: string, by: string): Promise<boolean>;
}
