/** Who is in a song, and where their cursors are. */

import type { Document } from './document';
import { transformIndex, transformSelection } from './ot';
import type { CursorMoved, Operation, Participant, Presence, RemoteCursor, UserId } from './types';

/** To be told apart on white and on black. */
const COLORS = [
  '#d6336c',
  '#1c7ed6',
  '#2b8a3e',
  '#e8590c',
  '#7048e8',
  '#0c8599',
  '#a61e4d',
  '#5f3dc4',
  '#b35c00',
  '#087f5b',
  '#c2255c',
  '#1864ab',
] as const;

/** The colour of a user, the same on all screens. */
export function colorOf(userId: UserId): string {
  let hash = 0x811c9dc5; // FNV-1a
  for (const character of String(userId)) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  }
  return COLORS[hash % COLORS.length] ?? COLORS[0];
}

export class People {
  participants: readonly Participant[] = [];
  cursors: readonly RemoteCursor[] = [];

  /** Who is there, whoever was before. */
  are(participants: readonly Participant[]): void {
    this.participants = participants;
    const isThere = new Set(participants.map((one) => one.user_id));
    this.cursors = this.cursors.filter(({ userId }) => isThere.has(userId));
  }

  joined({ user_id, name }: Presence): void {
    const others = this.participants.filter((one) => one.user_id !== user_id);
    const known = this.participants.find((one) => one.user_id === user_id);
    const called = name ?? known?.name;
    const participant = { user_id, ...(called !== undefined && { name: called }), connections: 1 };
    this.participants = [...others, participant];
  }

  left({ user_id }: Presence): void {
    this.participants = this.participants.filter((one) => one.user_id !== user_id);
    this.cursors = this.cursors.filter(({ userId }) => userId !== user_id);
  }

  /** Nobody's cursor is known any more. */
  forgetCursors(): void {
    if (this.cursors.length > 0) this.cursors = [];
  }

  moved(moved: CursorMoved, document: Document): void {
    const { user_id: userId, position, revision } = moved;
    // A client that has no name of its own shows one cursor for each user.
    const clientId = moved.client_id ?? `~${userId}`;
    if (clientId === document.name) return;
    const place = (index: number, after = false): number =>
      document.place(index, revision ?? document.revision, after);
    const { offset, selectionStart: start, selectionEnd: end } = position;
    const isSelection = start !== undefined && end !== undefined;
    const cursor: RemoteCursor = {
      clientId,
      userId,
      name: this.participants.find((one) => one.user_id === userId)?.name ?? String(userId),
      color: colorOf(userId),
      offset: offset === undefined ? null : place(offset),
      selection: isSelection ? nonEmpty([place(start, true), place(end)]) : null,
      position,
    };
    this.cursors = [...this.cursors.filter((one) => one.clientId !== clientId), cursor];
  }

  /** The text has changed; the author's own cursor goes along with what they type. */
  carried(operation: Operation, author: string | null): void {
    if (operation.length === 0 || this.cursors.length === 0) return;
    this.cursors = this.cursors.map((cursor) => {
      const { offset, selection, clientId } = cursor;
      const isAuthor = clientId === author;
      return {
        ...cursor,
        offset: offset === null ? null : transformIndex(offset, operation, isAuthor),
        selection:
          selection === null ? null : nonEmpty(transformSelection(...selection, operation)),
      };
    });
  }
}

function nonEmpty(range: [start: number, end: number]): [start: number, end: number] | null {
  return range[0] < range[1] ? range : null;
}
