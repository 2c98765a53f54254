import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { apply } from '../src/ot';
import { MemoryServer } from './memoryServer';
import { Dice, Person, randomEdit } from './simulation';

const SEEDS = 500;
const STEPS = 60;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** What hangs on promises that are fulfilled by now is done. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 6; turn++) await Promise.resolve();
}

function act(dice: Dice, server: MemoryServer, people: readonly Person[], marks: Marks): void {
  const person = dice.choose(people);
  const { link, song } = person;
  const acts: [weight: number, act: () => void][] = [
    [
      14,
      () => {
        marks.edit(dice, person);
      },
    ],
    [
      2,
      () => {
        if (!marks.isOn) song.undo();
      },
    ],
    [
      1,
      () => {
        if (!marks.isOn) song.redo();
      },
    ],
    [
      20,
      () => {
        link.sendUp();
      },
    ],
    [
      20,
      () => {
        link.sendDown();
      },
    ],
    [
      2,
      () => {
        link.sendOrphan();
      },
    ],
    [
      2,
      () => {
        link.cut(dice.roll(2) > 0);
      },
    ],
    [
      4,
      () => {
        person.reconnect();
      },
    ],
    [
      1,
      () => {
        marks.refresh(person);
      },
    ],
    [
      1,
      () => {
        server.compact(dice.roll(4));
      },
    ],
    [
      1,
      () => {
        if (link.isLinked) link.tellState('behind');
      },
    ],
    [
      1,
      () => {
        server.refusal = dice.choose(['rate_limited', 'unavailable', 'internal']);
      },
    ],
    [
      2,
      () => {
        vi.advanceTimersByTime(dice.choose([1, 200, 4000]));
      },
    ],
  ];
  let roll = dice.roll(acts.reduce((sum, [weight]) => sum + weight, 0));
  const chosen = acts.find(([weight]) => (roll -= weight) < 0);
  chosen?.[1]();
}

/**
 * Characters that were put in once each, so that it shows if one is lost or doubled.
 *
 * Who undoes a deletion may bring back what another has brought back too: here nobody does.
 */
class Marks {
  private count = 0;
  private readonly put = new Set<string>();

  constructor(
    private readonly seed: number,
    readonly isOn: boolean,
  ) {}

  edit(dice: Dice, { song }: Person): void {
    const { state, text } = song.getSnapshot();
    if (state === 'loading') return;
    const operation = this.isOn
      ? randomEdit(dice, text, () => this.next())
      : randomEdit(dice, text);
    const after = apply(text, operation);
    for (const mark of text) if (!after.includes(mark)) this.put.delete(mark);
    song.edit(operation);
  }

  /** What was typed within a moment may be gone, if it was not sent. */
  refresh(person: Person): void {
    const before = person.text;
    person.refresh();
    for (const mark of before) if (!person.text.includes(mark)) this.put.delete(mark);
  }

  /** Whether each is there once, but for those that somebody has deleted. */
  check(text: string): void {
    if (!this.isOn) return;
    const marks = Array.from(text);
    expect(new Set(marks).size, `seed ${this.seed}`).toBe(marks.length);
    for (const mark of this.put) expect(marks, `seed ${this.seed}`).toContain(mark);
  }

  /** None is there twice. */
  checkShown(text: string): void {
    if (this.isOn) expect(new Set(text).size, `seed ${this.seed}`).toBe(Array.from(text).length);
  }

  private next(): string {
    const mark = String.fromCodePoint(0x1f000 + this.count++);
    this.put.add(mark);
    return mark;
  }
}

/** Until there is nothing more to say. */
async function comeToRest(server: MemoryServer, people: readonly Person[]): Promise<void> {
  server.refusal = null;
  for (let round = 0; round < 400; round++) {
    for (const person of people) {
      const { link } = person;
      person.reconnect();
      while (link.sendOrphan());
      link.sendUp();
      link.sendDown();
    }
    await settle();
    const isQuiet = people.every(({ link }) => link.isQuiet);
    if (isQuiet && people.every(({ song }) => song.getSnapshot().unsent === 0)) return;
    if (isQuiet) vi.advanceTimersByTime(31_000);
  }
}

async function run(seed: number): Promise<void> {
  const dice = new Dice(seed);
  const server = new MemoryServer();
  const marks = new Marks(seed, seed % 2 > 0);
  const people = ['a', 'b', 'c', 'd']
    .slice(0, 2 + dice.roll(3))
    .map((id) => new Person(server, id));
  for (let step = 0; step < STEPS; step++) {
    act(dice, server, people, marks);
    await settle();
    for (const person of people) {
      expect(person.shown, `seed ${seed}`).toBe(person.text);
      marks.checkShown(person.text);
    }
  }
  await comeToRest(server, people);
  marks.check(server.text);
  for (const { song } of people) {
    const { text, revision, unsent, state, error } = song.getSnapshot();
    expect({ text, revision, unsent, state, error }, `seed ${seed}`).toEqual({
      text: server.text,
      revision: server.revision,
      unsent: 0,
      state: 'live',
      error: null,
    });
  }
}

test('however the messages run and links break, all end with one text', async () => {
  for (let seed = 1; seed <= SEEDS; seed++) await run(seed);
});
