// @vitest-environment happy-dom
import { act, renderHook } from '@testing-library/react';
import { StrictMode } from 'react';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { useThrottled } from '../../demo/useThrottled';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const pass = (ms: number) => {
  act(() => {
    vi.advanceTimersByTime(ms);
  });
};

test('a text that changes all the time is shown now and then, and its last state in the end', () => {
  const { result, rerender, unmount } = renderHook(({ text }) => useThrottled(text), {
    initialProps: { text: '' },
    wrapper: StrictMode,
  });
  pass(0);
  const long = 'x'.repeat(4000); // 100 ms
  const seen = new Set<string>();
  for (let typed = 0; typed < 25; typed += 1) {
    rerender({ text: long + String(typed) });
    pass(10);
    seen.add(result.current);
  }
  expect([...seen]).toEqual(['', `${long}9`, `${long}19`]);
  pass(100);
  expect(result.current).toBe(`${long}24`);
  rerender({ text: 'short' });
  unmount();
  expect(vi.getTimerCount()).toBe(0);
});
