/** The people on the page: their order, their initials, and their names after they have left. */
import { useState } from 'react';
import type { Participant, UserId } from '../src/types';

export type NameOf = (userId: UserId) => string;

/** One or two letters for a name: `Quiet Cello` is QC. */
export function initialsOf(name: string): string {
  const words = name.split(/[\s_-]+/).filter((word) => word !== '');
  const [first = '?', second] = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  const letters = [first, second ?? ''].map((word) => Array.from(word)[0] ?? '');
  return letters.join('').toUpperCase();
}

export function nameOfParticipant({ user_id, name }: Participant): string {
  return name ?? String(user_id);
}

/** Oneself first, the others as they came. */
export function inOrder(participants: readonly Participant[], self: string): Participant[] {
  const isSelf = ({ user_id }: Participant) => user_id === self;
  return [...participants.filter(isSelf), ...participants.filter((one) => !isSelf(one))];
}

/** What everybody is called who was seen since the page was opened. */
export function useNames(participants: readonly Participant[]): NameOf {
  const [names, setNames] = useState<ReadonlyMap<UserId, string>>(new Map());
  const fresh = participants.filter((one) => names.get(one.user_id) !== nameOfParticipant(one));
  if (fresh.length > 0) {
    setNames(
      new Map([...names, ...fresh.map((one) => [one.user_id, nameOfParticipant(one)] as const)]),
    );
  }
  return (userId) => names.get(userId) ?? String(userId);
}
