/** How one's edits are doing, in words. */
import type { SongSnapshot } from '../src/types';

export interface Progress {
  readonly tone: 'good' | 'waiting' | 'bad';
  readonly text: string;
}

type Known = Pick<SongSnapshot, 'state' | 'unsent' | 'permission' | 'error'>;

/** Whether the daemon has all that was typed; `isOnline` is whether one wants to be. */
export function progressOf(
  { state, unsent, permission, error }: Known,
  isOnline: boolean,
): Progress {
  const edits = unsent === 1 ? '1 edit' : `${unsent} edits`;
  if (state === 'refused') {
    return { tone: 'bad', text: error?.message ?? 'This song cannot be opened' };
  }
  if (state === 'loading') {
    return { tone: 'waiting', text: isOnline ? 'Opening…' : 'Offline' };
  }
  if (state === 'offline') {
    const where = isOnline ? 'No connection' : 'Offline';
    return { tone: 'waiting', text: unsent > 0 ? `${where}: ${edits} to send` : where };
  }
  if (error && unsent > 0) {
    return { tone: 'bad', text: `${edits} not sent: ${error.message}` };
  }
  if (unsent > 0) {
    return { tone: 'waiting', text: `Sending ${edits}…` };
  }
  return { tone: 'good', text: permission === 'read' ? 'View only' : 'All saved' };
}
