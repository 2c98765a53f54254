import {
  createContext,
  useCallback,
  useContext,
  useEffect,
  useRef,
  useState,
  useSyncExternalStore,
} from 'react';
import { webSocketService } from '../services/webSocketService';
import type { ConnectionStatus, RealtimeError, Rooms, Token, Unsubscribe } from '../types';

/** What the hooks need of the service. */
export interface Connection extends Rooms {
  connect(token?: Token): void;
  disconnect(): void;
  authenticate(token: Token): void;
  getConnectionStatus(): ConnectionStatus;
  onConnection(listener: (status: ConnectionStatus) => void): Unsubscribe;
  onError(listener: (error: RealtimeError) => void): Unsubscribe;
}

/** Which service the hooks below use, where it is not `webSocketService`. */
export const ConnectionContext = createContext<Connection>(webSocketService);

export function useConnectionStatus(): ConnectionStatus {
  const service = useContext(ConnectionContext);
  const subscribe = useCallback(
    (listener: () => void) => service.onConnection(listener),
    [service],
  );
  const snapshot = useCallback(() => service.getConnectionStatus(), [service]);
  return useSyncExternalStore(subscribe, snapshot, snapshot);
}

/** The connection and its errors; it is made with a token as soon as there is one. */
export function useWebSocketConnection(token?: Token | null) {
  const service = useContext(ConnectionContext);
  const connectionStatus = useConnectionStatus();
  const [lastError, clearError] = useLastError(service);
  useToken(service, token);
  const connect = useCallback(
    (fresh?: Token) => {
      clearError();
      service.connect(fresh);
    },
    [service, clearError],
  );
  const authenticate = useCallback(
    (fresh: Token) => {
      clearError();
      service.authenticate(fresh);
    },
    [service, clearError],
  );
  const disconnect = useCallback(() => {
    service.disconnect();
  }, [service]);
  return {
    connectionStatus,
    /** For people; programs act on `lastError.code`. */
    error: lastError?.message ?? null,
    lastError,
    connect,
    disconnect,
    authenticate,
    isReady: connectionStatus.connected && connectionStatus.authenticated,
  };
}

/** A function that gives tokens may be another one at each render: it is the same token. */
function useToken(service: Connection, token: Token | null | undefined): void {
  const latest = useRef(token);
  useEffect(() => {
    latest.current = token;
  });
  const isAsked = typeof token === 'function';
  const fixed = isAsked ? null : token;
  useEffect(() => {
    if (isAsked) {
      service.authenticate(() => (typeof latest.current === 'function' ? latest.current() : ''));
    } else if (fixed) {
      service.authenticate(fixed);
    }
  }, [service, isAsked, fixed]);
}

function useLastError(service: Connection): [RealtimeError | null, () => void] {
  const [error, setError] = useState<RealtimeError | null>(null);
  const clear = useCallback(() => {
    setError(null);
  }, []);
  useEffect(() => {
    let wasAuthenticated = service.getConnectionStatus().authenticated;
    const unsubscribes = [
      service.onError(setError),
      service.onConnection(({ authenticated }) => {
        if (authenticated && !wasAuthenticated) {
          setError(null); // what it was, it is over
        }
        wasAuthenticated = authenticated;
      }),
    ];
    return () => {
      unsubscribes.forEach((unsubscribe) => {
        unsubscribe();
      });
    };
  }, [service]);
  return [error, clear];
}
