import { describe, expect, test } from 'vitest';
import { inOrderOfTime, saidIn } from '../../demo/chat';
import { madeUpId, madeUpName } from '../../demo/names';
import { initialsOf, inOrder, nameOfParticipant } from '../../demo/people';
import { LONGEST_NAME, newPerson, rememberedPerson, rememberPerson } from '../../demo/person';
import { addressOf, FIRST_SONG, newSong, songOf } from '../../demo/songs';
import { MemoryStore } from '../simulation';

/** Dice that fall as they are told, and then as the last. */
function dice(...throws: number[]) {
  return () => (throws.length > 1 ? throws.shift() : throws[0]) ?? 0;
}

describe('a name that was made up', () => {
  test('is two words, whatever the dice say', () => {
    for (const thrown of [0, 0.3, 0.5, 0.999999]) {
      expect(madeUpName(dice(thrown))).toMatch(/^[A-Z][a-z]+ [A-Z][a-z]+$/);
    }
    expect(madeUpName(dice(0))).not.toBe(madeUpName(dice(0.9)));
  });

  test('becomes an id that nobody else has', () => {
    expect(madeUpId('Quiet Cello', dice(0.5))).toMatch(/^quiet-cello-[0-9a-z]{5}$/);
    expect(madeUpId('Éva & Ben!', dice(0))).toBe('va-ben-00000');
    expect(madeUpId('🎻', dice(0))).toBe('00000');
    expect(madeUpId('x'.repeat(200), dice(0)).length).toBeLessThan(64);
  });
});

describe('a person', () => {
  test('has the name that they say, or one that is made up', () => {
    expect(newPerson({ name: '  Ada  ' })).toMatchObject({ name: 'Ada', permission: 'edit' });
    expect(newPerson({ name: '  ', permission: 'read' }).name).toMatch(/^\w+ \w+$/);
    expect(newPerson({ name: 'x'.repeat(99) }).name).toHaveLength(LONGEST_NAME);
  });

  test('is the same after the page was loaded again', () => {
    const store = new MemoryStore().load();
    const person = newPerson({ name: 'Ada', permission: 'read' });
    rememberPerson(person, store);
    expect(rememberedPerson(store)).toEqual(person);
  });

  test('is somebody new when nothing was kept, or no sense is in it', () => {
    expect(rememberedPerson(null).name).toMatch(/^\w+ \w+$/);
    for (const kept of [
      '',
      '{',
      'null',
      '7',
      '{"id":"a"}',
      '{"id":"a","name":"b","permission":"x"}',
    ]) {
      const store = { getItem: () => kept, setItem: () => undefined };
      expect(rememberedPerson(store).name).toMatch(/^\w+ \w+$/);
    }
    const forbidden = () => {
      throw new Error('forbidden');
    };
    const store = { getItem: forbidden, setItem: forbidden };
    expect(rememberedPerson(store).permission).toBe('edit');
    rememberPerson(newPerson(), store);
  });

  test('is shown by initials, oneself first', () => {
    expect(['Quiet Cello', 'ada', 'a b c', '🎻 x', ''].map(initialsOf)).toEqual([
      ...['QC', 'A', 'AC', '🎻X', '?'],
    ]);
    const people = ['a', 'b', 'c'].map((user_id) => ({ user_id, connections: 1 }));
    expect(inOrder(people, 'b').map(nameOfParticipant)).toEqual(['b', 'a', 'c']);
    expect(nameOfParticipant({ user_id: 5, name: 'Ada', connections: 1 })).toBe('Ada');
  });
});

describe('a song', () => {
  test('is the one that the address names, if there can be one', () => {
    expect(songOf('?song=my-song')).toBe('my-song');
    for (const search of ['', '?', '?song=', '?song=a%20b', `?song=${'x'.repeat(500)}`]) {
      expect(songOf(search)).toBe(FIRST_SONG);
    }
  });

  test('has an address that others can open', () => {
    const address = addressOf('my-song', 'http://localhost:5000/?song=x#y');
    expect(address).toBe('http://localhost:5000/?song=my-song');
    const fresh = newSong();
    expect(songOf(new URL(addressOf(fresh, address)).search)).toBe(fresh);
  });
});

describe('what was said', () => {
  const said = (message: unknown, timestamp: number) => ({ user_id: 'a', message, timestamp });

  test('is in the order of time', () => {
    const all = inOrderOfTime(
      [said('one', 1), said('three', 3)],
      [said('two', 2), said('four', 3)],
    );
    expect(all.map(({ message }) => message)).toEqual(['one', 'two', 'three', 'four']);
  });

  test('is shown also if it is no text', () => {
    expect(['la', { la: 1 }, 7, null].map(saidIn)).toEqual(['la', '{"la":1}', '7', 'null']);
  });
});
