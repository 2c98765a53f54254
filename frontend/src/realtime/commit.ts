/**
 * How an edit gets into a stored song: what the daemon does, inside a transaction.
 *
 * An edit is made on a revision; it is transformed past each edit since then, in order, and one that
 * is in the text already is not applied again.
 */

import { apply, fromWire, toWire, transform } from '../ot';
import { RealtimeError, type FlatOperation, type UserId } from '../types';
import { EMPTY_SONG, type StoredEdit, type StoredSong } from './store';

/** The document of a song has to stay far below what a store takes (Firestore: 1 MiB). */
const MOST_RECENT = 50;
const MOST_RECENT_LENGTH = 100_000;
const MOST_CLIENTS = 100;
const LONGEST_TEXT = 200_000;

export interface Proposal {
  readonly client_id: string;
  readonly seq: number;
  readonly user_id: UserId;
  readonly timestamp: number;
  /** The revision that it is made on. */
  readonly revision: number;
  readonly operations: readonly FlatOperation[];
}

/** The song with that edit in it, and the edit's revision; throws a `RealtimeError`. */
export function commit(
  stored: StoredSong | null,
  proposal: Proposal,
): { song: StoredSong | null; revision: number } {
  const song = stored ?? EMPTY_SONG;
  const { client_id, seq, user_id, timestamp } = proposal;
  const last = song.seqs[client_id];
  if (last !== undefined && last.seq >= seq) return { song: null, revision: last.revision };
  const operation = transformed(song, proposal);
  let text: string;
  try {
    text = apply(song.text, operation);
  } catch {
    throw refused('invalid_operation', 'This edit does not fit the text');
  }
  if (text.length > LONGEST_TEXT) throw refused('document_too_large', 'The song is too long');
  const revision = song.revision + 1;
  const operations = toWire(operation);
  const edit: StoredEdit = { revision, client_id, seq, user_id, timestamp, operations };
  const seqs = { ...song.seqs, [client_id]: { seq, revision } };
  return {
    song: {
      ...song,
      text,
      revision,
      recent: shortened([...song.recent, edit]),
      seqs: pruned(seqs),
    },
    revision,
  };
}

/** The edits since a revision; null when they are not all kept. */
export function editsSince(song: StoredSong, revision: number): readonly StoredEdit[] | null {
  if (revision > song.revision) return null;
  const since = song.recent.filter((edit) => edit.revision > revision);
  return since.length === song.revision - revision ? since : null;
}

function transformed(song: StoredSong, proposal: Proposal): ReturnType<typeof fromWire> {
  const since = editsSince(song, proposal.revision);
  if (since === null) throw refused('stale_revision', 'This revision is not one of the last');
  let operation;
  try {
    operation = fromWire(proposal.operations);
  } catch {
    throw refused('invalid_operation', 'Invalid operation data');
  }
  for (const edit of since) {
    operation = transform(
      operation,
      fromWire(edit.operations),
      proposal.client_id < edit.client_id,
    );
  }
  return operation;
}

function shortened(edits: readonly StoredEdit[]): readonly StoredEdit[] {
  let length = 0;
  const kept: StoredEdit[] = [];
  for (const edit of edits.slice(-MOST_RECENT).reverse()) {
    length += JSON.stringify(edit.operations).length;
    if (length > MOST_RECENT_LENGTH) break;
    kept.push(edit);
  }
  return kept.reverse();
}

function pruned(seqs: StoredSong['seqs']): StoredSong['seqs'] {
  const newest = Object.entries(seqs).sort(([, one], [, other]) => other.revision - one.revision);
  return Object.fromEntries(newest.slice(0, MOST_CLIENTS));
}

function refused(
  code: 'invalid_operation' | 'stale_revision' | 'document_too_large',
  text: string,
) {
  return new RealtimeError(code, text, { event: 'collaboration_operation' });
}
