import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { Pacer, TokenBucket } from '../../src/services/pacing';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

const paced = (pacer: Pacer, count: number): number[] => {
  const went: number[] = [];
  for (let index = 0; index < count; index += 1) {
    pacer.whenDue(() => {
      went.push(Date.now());
    });
  }
  return went;
};

test('the whole window may go in one burst, then it comes back evenly', () => {
  const bucket = new TokenBucket({ count: 60, seconds: 60 });
  for (let index = 0; index < 60; index += 1) expect(bucket.take(5000)).toBe(0);
  expect(bucket.take(5000)).toBe(1000);
  expect(bucket.take(5600)).toBe(400);
  expect(bucket.take(6000)).toBe(0);
  expect(bucket.take(6000)).toBe(1000);
  expect(bucket.take(1_000_000)).toBe(0);
});

test('what is beyond the rate goes in its order, one by one', async () => {
  const pacer = new Pacer(() => Date.now());
  pacer.setRate({ count: 2, seconds: 1 });
  const began = Date.now();
  const went = paced(pacer, 5);
  expect(went).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(2000);
  expect(went.map((at) => at - began)).toEqual([0, 0, 500, 1000, 1500]);
});

test('without a rate all goes at once', () => {
  expect(paced(new Pacer(), 1000)).toHaveLength(1000);
});

test('a daemon that says to wait is believed, whatever the rate', async () => {
  const pacer = new Pacer(() => Date.now());
  pacer.pause(700);
  const went = paced(pacer, 2);
  await vi.advanceTimersByTimeAsync(699);
  expect(went).toHaveLength(0);
  await vi.advanceTimersByTimeAsync(1);
  expect(went).toHaveLength(2);
});

test('what was called off takes no turn', async () => {
  const pacer = new Pacer(() => Date.now());
  pacer.setRate({ count: 1, seconds: 1 });
  const went = paced(pacer, 1);
  const callOff = pacer.whenDue(() => {
    went.push(-1);
  });
  const later = paced(pacer, 1);
  callOff();
  await vi.advanceTimersByTimeAsync(1000);
  expect([went.length, later.length]).toEqual([1, 1]);
});

test('the same rate announced again does not fill the bucket', () => {
  const pacer = new Pacer(() => Date.now());
  pacer.setRate({ count: 3, seconds: 60 });
  expect(paced(pacer, 3)).toHaveLength(3);
  pacer.setRate({ count: 3, seconds: 60 });
  expect(paced(pacer, 1)).toHaveLength(0);
  pacer.setRate(null);
  expect(paced(pacer, 1)).toHaveLength(1);
});
