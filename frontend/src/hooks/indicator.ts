import { useEffect, useState } from 'react';
import type { ConnectionStatus } from '../types';
import { useConnectionStatus } from './connection';

/** A link that is back so soon is not worth a word. */
const UNSAID_MS = 1000;
const SLOW_MS = 500;

export type IndicatorKind =
  | 'disconnected'
  | 'connecting'
  | 'authenticating'
  | 'connected'
  | 'slow'
  | 'reconnecting'
  | 'error';

export type IndicatorTone = 'good' | 'waiting' | 'bad';

const COLORS: Record<IndicatorTone, string> = {
  good: '#10b981',
  waiting: '#f59e0b',
  bad: '#ef4444',
};

const SHOWN: Record<IndicatorKind, { tone: IndicatorTone; icon: string; text: string }> = {
  disconnected: { tone: 'bad', icon: '⚡', text: 'Disconnected' },
  connecting: { tone: 'waiting', icon: '🔄', text: 'Connecting…' },
  authenticating: { tone: 'waiting', icon: '🔐', text: 'Authenticating…' },
  connected: { tone: 'good', icon: '🟢', text: 'Connected' },
  slow: { tone: 'waiting', icon: '🟡', text: 'Connected, but slow' },
  reconnecting: { tone: 'waiting', icon: '🔄', text: 'Reconnecting…' },
  error: { tone: 'bad', icon: '⚠️', text: 'Connection error' },
};

/** What is shown of a connection. */
export function indicatorKind(status: ConnectionStatus, isReconnecting: boolean): IndicatorKind {
  switch (status.state) {
    case 'connected':
      return (status.latency ?? 0) > SLOW_MS ? 'slow' : 'connected';
    case 'reconnecting':
      if (isReconnecting) {
        return 'reconnecting';
      }
      return status.userId === null ? 'connecting' : 'connected';
    default:
      return status.state;
  }
}

/** Whether the link has been lost for longer than a moment. */
function useIsReconnecting({ reconnectingSince: since }: ConnectionStatus): boolean {
  const [saidSince, setSaidSince] = useState<number | null>(null);
  useEffect(() => {
    if (since === null) {
      return undefined;
    }
    const timer = setTimeout(
      () => {
        setSaidSince(since);
      },
      Math.min(UNSAID_MS, Math.max(0, since + UNSAID_MS - Date.now())),
    );
    return () => {
      clearTimeout(timer);
    };
  }, [since]);
  return since !== null && saidSince === since;
}

/** How the connection is, in words and colours. */
export function useConnectionIndicator() {
  const status = useConnectionStatus();
  const isReconnecting = useIsReconnecting(status);
  const kind = indicatorKind(status, isReconnecting);
  const { tone, icon, text } = SHOWN[kind];
  return {
    status,
    kind,
    tone,
    statusColor: COLORS[tone],
    statusText: text,
    statusIcon: icon,
    isConnected: status.connected,
    isAuthenticated: status.authenticated,
    isReconnecting,
    latency: status.latency,
    retryCount: status.retryCount,
    lastError: status.error?.message ?? null,
  };
}
