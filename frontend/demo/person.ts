/** Who this tab says that it is, and the tokens that the demo gives for that. */
import { madeUpId, madeUpName, type Dice } from './names';

export const LONGEST_NAME = 40;

const KEY = 'chordme.demo.person';

export interface Person {
  readonly id: string;
  readonly name: string;
  readonly permission: 'edit' | 'read';
}

export type PersonStore = Pick<Storage, 'getItem' | 'setItem'>;

/** Somebody new; without a name, one is made up. */
export function newPerson(
  { name, permission = 'edit' }: { name?: string; permission?: Person['permission'] } = {},
  dice: Dice = Math.random,
): Person {
  const called = name?.trim().slice(0, LONGEST_NAME) ?? '';
  const shown = called === '' ? madeUpName(dice) : called;
  return { id: madeUpId(shown, dice), name: shown, permission };
}

/** Who this tab was before it was loaded again; otherwise somebody new. */
export function rememberedPerson(storage: PersonStore | null): Person {
  try {
    const kept: unknown = JSON.parse(storage?.getItem(KEY) ?? 'null');
    return isPerson(kept) ? kept : newPerson();
  } catch {
    return newPerson();
  }
}

export function rememberPerson(person: Person, storage: PersonStore | null): void {
  try {
    storage?.setItem(KEY, JSON.stringify(person));
  } catch {
    // Full or forbidden: after a refresh it is somebody else.
  }
}

/** A fresh token for a person; rejects when the daemon is away. */
export async function fetchToken({ id, name, permission }: Person): Promise<string> {
  const query = new URLSearchParams({ user: id, name, permission });
  const answer = await fetch(`/demo/token?${query}`);
  if (!answer.ok) {
    throw new Error(`There is no token to be had: ${answer.status}`);
  }
  const { token } = (await answer.json()) as { token: string };
  return token;
}

function isPerson(value: unknown): value is Person {
  if (typeof value !== 'object' || value === null) {
    return false;
  }
  const { id, name, permission } = value as Record<string, unknown>;
  return (
    [id, name].every((text) => typeof text === 'string' && text !== '' && text.length <= 80) &&
    (permission === 'edit' || permission === 'read')
  );
}
