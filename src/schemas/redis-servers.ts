/** Where the Redis of the queue is: one server, one of several behind Sentinels, or a Cluster. */
export type RedisServers =
  | { kind: 'one'; url: string }
  | {
      kind: 'sentinels';
      sentinels: readonly RedisAddress[];
      /** What the Sentinels call the primary. */
      name: string;
      sentinelPassword: string | undefined;
      login: RedisLogin;
    }
  | { kind: 'cluster'; nodes: readonly RedisAddress[]; login: RedisLogin };

export interface RedisAddress {
  host: string;
  port: number;
}

/** The same for all servers. */
export interface RedisLogin {
  username: string | undefined;
  password: string | undefined;
  tls: boolean;
}
