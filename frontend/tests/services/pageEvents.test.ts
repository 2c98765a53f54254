// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { whenPageReturns } from '../../src/services/page';
import { Backoff } from '../../src/services/backoff';
import { TabName } from '../../src/services/clientId';
import { serverUrl } from '../../src/services/environment';
import { Latency } from '../../src/services/latency';
import { WebSocketService } from '../../src/services/webSocketService';
import { RealtimeError } from '../../src/types';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
});

const see = (state: DocumentVisibilityState): void => {
  vi.spyOn(document, 'visibilityState', 'get').mockReturnValue(state);
  document.dispatchEvent(new Event('visibilitychange'));
};

test('a page returns with the network, when it is looked at, or out of memory; until one stops listening', () => {
  let returns = 0;
  const unwatch = whenPageReturns(() => (returns += 1));
  window.dispatchEvent(new Event('online'));
  see('hidden');
  expect(returns).toBe(1);
  see('visible');
  window.dispatchEvent(new Event('pageshow'));
  expect(returns).toBe(3);
  unwatch();
  window.dispatchEvent(new Event('online'));
  see('visible');
  expect(returns).toBe(3);
});

test('a page that is back tries at once, however long the wait was', async () => {
  const tab = new TabName({ storage: null, locks: null, openChannel: null });
  const backoff = new Backoff(() => 0.99);
  let asked = 0;
  const service = new WebSocketService({ url: 'http://127.0.0.1:1', tab, backoff });
  service.connect(() => {
    asked += 1;
    throw new Error('nobody is there');
  });
  await vi.advanceTimersByTimeAsync(60_000);
  const before = asked;
  expect(service.getConnectionStatus().retryCount).toBe(before);
  window.dispatchEvent(new Event('online'));
  await vi.advanceTimersByTimeAsync(1);
  expect(asked).toBe(before + 1);
  service.destroy();
  await vi.advanceTimersByTimeAsync(600_000);
  window.dispatchEvent(new Event('online'));
  expect(asked).toBe(before + 1);
});

test('latency is asked for every twenty seconds, and as long as one wants to know', async () => {
  const told: number[] = [];
  let clock = 0;
  const ping = async (): Promise<void> => {
    await Promise.resolve();
    clock += 42;
  };
  const latency = new Latency(
    ping,
    (ms) => told.push(ms),
    () => clock,
  );
  latency.start();
  await vi.advanceTimersByTimeAsync(0);
  expect(told).toEqual([42]);
  await vi.advanceTimersByTimeAsync(40_000);
  expect(told).toEqual([42, 42, 42]);
  latency.stop();
  await vi.advanceTimersByTimeAsync(100_000);
  expect(told).toHaveLength(3);
});

test('a refusal is an answer, silence and a lost link are none', async () => {
  const alive = (ping: () => Promise<unknown>): Promise<boolean> =>
    new Latency(ping, () => undefined).isAlive();
  expect(await alive(() => Promise.reject(new RealtimeError('unauthenticated', '')))).toBe(true);
  expect(await alive(() => Promise.reject(new RealtimeError('connection_lost', '')))).toBe(false);
  const silent = alive(() => new Promise(() => undefined));
  await vi.advanceTimersByTimeAsync(5000);
  expect(await silent).toBe(false);
});

test('the daemon is where the page was told at its build, else where it comes from', () => {
  expect(serverUrl()).toBe(window.location.origin);
  vi.stubEnv('VITE_WEBSOCKET_URL', 'https://songs.example.org');
  expect(serverUrl()).toBe('https://songs.example.org');
});
