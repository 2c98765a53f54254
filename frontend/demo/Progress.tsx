import type { DemoSong } from './useDemo';

type Tone = 'good' | 'waiting' | 'bad';

/** Whether all that was typed is with the daemon; in words. */
function progress(
  { state, unsent, permission, error }: DemoSong,
  isOnline: boolean,
): { tone: Tone; text: string } {
  const edits = unsent === 1 ? '1 edit' : `${unsent} edits`;
  if (state === 'refused') {
    return { tone: 'bad', text: error?.message ?? 'This song cannot be opened' };
  }
  if (state === 'loading') {
    return { tone: 'waiting', text: 'Opening…' };
  }
  if (state === 'offline') {
    const where = isOnline ? 'No connection' : 'Offline';
    return { tone: 'waiting', text: unsent > 0 ? `${where}: ${edits} wait here` : where };
  }
  if (error && unsent > 0) {
    return { tone: 'bad', text: `${edits} not sent: ${error.message}` };
  }
  if (permission === 'read') {
    return { tone: 'good', text: 'View only' };
  }
  return unsent > 0
    ? { tone: 'waiting', text: `Sending ${edits}…` }
    : { tone: 'good', text: 'All saved' };
}

/** How one's edits are doing. */
export function Progress({ document, isOnline }: { document: DemoSong; isOnline: boolean }) {
  const { tone, text } = progress(document, isOnline);
  return (
    <p
      className="progress"
      role="status"
      aria-label="Edits"
      data-testid="progress"
      data-tone={tone}
      data-unsent={document.unsent}
      data-state={document.state}
    >
      {text}
    </p>
  );
}
