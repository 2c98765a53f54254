/** What was said, by all and by oneself. */
import type { RoomMessage } from '../src/types';

export type Said = Pick<RoomMessage, 'user_id' | 'message' | 'timestamp'>;

/** The daemon tells what the others say; one's own is put where it belongs. */
export function inOrderOfTime(others: readonly Said[], own: readonly Said[]): Said[] {
  return [...others, ...own].sort((one, other) => one.timestamp - other.timestamp);
}

/** The text of a message; other clients say other things than texts. */
export function saidIn(message: unknown): string {
  return typeof message === 'string' ? message : JSON.stringify(message);
}
