// @vitest-environment happy-dom
import { act, cleanup, fireEvent, render, screen } from '@testing-library/react';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import ConnectionStatusIndicator from '../../src/components/ConnectionStatusIndicator';
import { indicatorKind } from '../../src/hooks/indicator';
import {
  ConnectionContext,
  useConnectionIndicator,
  useWebSocketConnection,
  type Connection,
} from '../../src/hooks/useWebSocket';
import type { ConnectionStatus, Token } from '../../src/types';
import { Daemon } from '../daemon';
import { endAll, page, serviceAt, shown } from './people';

let daemon: Daemon;

beforeAll(async () => {
  daemon = await Daemon.start();
});
afterAll(() => daemon.stop());
afterEach(() => {
  cleanup();
  endAll();
});

const CONNECTED: ConnectionStatus = {
  state: 'connected',
  connected: true,
  authenticated: true,
  userId: 'ada',
  latency: 40,
  retryCount: 0,
  reconnectingSince: null,
  transport: 'websocket',
  error: null,
};

describe('how a connection is shown', () => {
  it('a link slower than half a second is amber', () => {
    expect(indicatorKind(CONNECTED, false)).toBe('connected');
    expect(indicatorKind({ ...CONNECTED, latency: null }, false)).toBe('connected');
    expect(indicatorKind({ ...CONNECTED, latency: 500 }, false)).toBe('connected');
    expect(indicatorKind({ ...CONNECTED, latency: 501 }, false)).toBe('slow');
  });

  it('a link that is lost is told after a second, by any clock', () => {
    vi.useFakeTimers();
    const told: ((status: ConnectionStatus) => void)[] = [];
    let status = CONNECTED;
    const connection = {
      getConnectionStatus: () => status,
      onConnection: (listener: (status: ConnectionStatus) => void) => {
        told.push(listener);
        return () => undefined;
      },
    } as Connection;
    let now: Partial<ReturnType<typeof useConnectionIndicator>> = {};
    const Page = () => {
      now = useConnectionIndicator();
      return null;
    };
    render(
      <ConnectionContext.Provider value={connection}>
        <Page />
      </ConnectionContext.Provider>,
    );
    // The clock of the machine is set back or forth meanwhile.
    for (const since of [Date.now(), Date.now() + 3_600_000]) {
      act(() => {
        status = { ...CONNECTED, state: 'reconnecting', reconnectingSince: since };
        for (const tell of told) tell(status);
      });
      act(() => {
        vi.advanceTimersByTime(999);
      });
      expect(now.isReconnecting).toBe(false);
      act(() => {
        vi.advanceTimersByTime(1);
      });
      expect(now.isReconnecting).toBe(true);
    }
    vi.useRealTimers();
  });

  it('a link that is lost for a moment is not worth a word', () => {
    const lost: ConnectionStatus = { ...CONNECTED, state: 'reconnecting', reconnectingSince: 1 };
    expect(indicatorKind(lost, false)).toBe('connected');
    expect(indicatorKind(lost, true)).toBe('reconnecting');
    expect(indicatorKind({ ...lost, userId: null }, false)).toBe('connecting');
  });
});

describe('the indicator', () => {
  it('follows a real connection: none, one, lost for a second and counting, back', async () => {
    const service = serviceAt(daemon);
    let now: Partial<ReturnType<typeof useConnectionIndicator>> = {};
    const saidWhenLost: boolean[] = [];
    function Page({ token }: { token: Token | null }) {
      now = useConnectionIndicator();
      if (now.status?.state === 'reconnecting') saidWhenLost.push(now.isReconnecting === true);
      useWebSocketConnection(token);
      return <ConnectionStatusIndicator showDetails className="mine" />;
    }
    const token = daemon.token('ada');
    const status = () => screen.getByRole('status');
    const { show } = page(service, <Page token={null} />);
    expect(status().textContent).toBe('Disconnected');
    expect(status().className).toContain('mine');
    show(<Page token={token} />);
    await shown(() => status().dataset.tone === 'good', 'it is connected');
    await shown(() => /^Connected\d+ ms$/.test(status().textContent), 'with its latency');
    expect(now.isAuthenticated).toBe(true);
    await daemon.kill();
    await shown(() => now.isReconnecting === true, 'it says that the link is lost');
    expect(saidWhenLost[0]).toBe(false);
    await shown(() => (now.retryCount ?? 0) > 1, 'it tries again');
    expect(status().textContent).toContain(`attempt ${now.retryCount ?? 0}`);
    await daemon.start();
    await shown(() => status().dataset.tone === 'good', 'it is back', 90_000);
    expect(now.isReconnecting).toBe(false);
  });

  it('says what is wrong, to who sees and to who listens', async () => {
    let error: string | null = null;
    function Page() {
      error = useWebSocketConnection('no.real.token').error;
      return <ConnectionStatusIndicator />;
    }
    page(serviceAt(daemon), <Page />);
    await shown(() => error !== null, 'it was refused');
    expect(error).toBe('Invalid or expired token');
    await shown(() => screen.getByRole('status').dataset.tone === 'bad');
    expect(screen.getByRole('status').textContent).toContain('Invalid or expired token');
  });

  it('is a button when it does something, and none when not', () => {
    const clicked = vi.fn();
    const { show } = page(serviceAt(daemon), <ConnectionStatusIndicator onClick={clicked} />);
    fireEvent.click(screen.getByRole('button', { name: 'Disconnected' }));
    expect(clicked).toHaveBeenCalledOnce();
    show(<ConnectionStatusIndicator />);
    expect(screen.queryByRole('button')).toBeNull();
    expect(screen.getByRole('status').title).toBe('Disconnected');
  });
});
