import { expect, test } from 'vitest';

import { Backoff } from '../../src/services/backoff';

test('the ceiling doubles with each attempt, up to half a minute', () => {
  const backoff = new Backoff(() => 0.999999);
  const waits = Array.from({ length: 9 }, () => backoff.next());
  expect(waits).toEqual([999, 1999, 3999, 7999, 15999, 29999, 29999, 29999, 29999]);
});

test('a wait is anything up to the ceiling, but not nothing', () => {
  const dice = [0, 0.25, 0.5];
  const backoff = new Backoff(() => dice.shift() ?? 0);
  expect([backoff.next(), backoff.next(), backoff.next()]).toEqual([50, 500, 2000]);
});

test('when all is well again the next wait is short, and after thousands it is still a number', () => {
  const backoff = new Backoff(() => 0.5);
  for (let attempt = 0; attempt < 5000; attempt += 1) expect(backoff.next()).toBeLessThan(30_000);
  backoff.reset();
  expect(backoff.next()).toBe(500);
});
