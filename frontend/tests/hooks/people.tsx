/** People at a real daemon: those whose page is shown by React, and one who only looks on. */
import { render, waitFor } from '@testing-library/react';
import { StrictMode, type ReactNode } from 'react';
import { ConnectionContext } from '../../src/hooks/useWebSocket';
import { Backoff } from '../../src/services/backoff';
import { WebSocketService } from '../../src/services/webSocketService';
import type { Daemon } from '../daemon';
import { watch } from '../watcher';

const ends: (() => void)[] = [];

/** End what has been begun by the functions below. */
export function endAll(): void {
  ends.splice(0).forEach((end) => {
    end();
  });
}

/** Somebody's service; it is not connected yet. */
export function serviceAt(daemon: Daemon): WebSocketService {
  // Short waits: the schedule has tests of its own.
  const service = new WebSocketService({ url: daemon.url, backoff: new Backoff(() => 0.1) });
  ends.push(() => {
    service.destroy();
  });
  return service;
}

/** A page, rendered as strictly as React can. */
export function page(service: WebSocketService, content: ReactNode) {
  const wrapped = (inner: ReactNode) => (
    <StrictMode>
      <ConnectionContext.Provider value={service}>{inner}</ConnectionContext.Provider>
    </StrictMode>
  );
  const { rerender, unmount, container } = render(wrapped(content));
  return {
    container,
    unmount,
    show: (inner: ReactNode) => {
      rerender(wrapped(inner));
    },
  };
}

/** Wait, while React shows what happens. */
export async function shown(isTrue: () => boolean, what = String(isTrue), withinMs = 30_000) {
  const look = () => {
    if (!isTrue()) {
      throw new Error(`not within ${withinMs} ms: ${what}`);
    }
  };
  await waitFor(look, { timeout: withinMs, interval: 10 });
}

/** Somebody in a room who writes down who comes and goes. */
export async function watcher(daemon: Daemon, roomId: string, user = 'watcher') {
  const { seen, socket } = await watch(daemon.url, daemon.token(user), roomId);
  ends.push(() => {
    socket.disconnect();
  });
  return { seen, socket };
}
