import type { ConnectionStatus } from '../types';
import { Listeners } from './listeners';

/** The connection, and the fields by which ChordMe's own service told of it. */
export interface ServiceStatus extends ConnectionStatus {
  readonly reconnecting: boolean;
  readonly lastError?: string;
}

const AT_FIRST: ConnectionStatus = {
  state: 'disconnected',
  connected: false,
  authenticated: false,
  userId: null,
  latency: null,
  retryCount: 0,
  reconnectingSince: null,
  transport: null,
  error: null,
};

/** How the connection is: one frozen object, replaced when something has changed. */
export class Status {
  readonly listeners = new Listeners<[ServiceStatus]>();
  private current = complete(AT_FIRST);

  get(): ServiceStatus {
    return this.current;
  }

  set(changes: Partial<ConnectionStatus>): void {
    const names = Object.keys(changes) as (keyof ConnectionStatus)[];
    if (names.every((name) => Object.is(this.current[name], changes[name]))) return;
    this.current = complete({ ...this.current, ...changes });
    this.listeners.tell(this.current);
  }
}

function complete(status: ConnectionStatus): ServiceStatus {
  const { state, connected, authenticated, userId, latency } = status;
  const { retryCount, reconnectingSince, transport, error } = status;
  return Object.freeze({
    ...{ state, connected, authenticated, userId, latency },
    ...{ retryCount, reconnectingSince, transport, error },
    reconnecting: state === 'reconnecting',
    ...(error !== null && { lastError: error.message }),
  });
}
