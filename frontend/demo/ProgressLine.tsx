import { progressOf } from './progress';
import type { DemoSong } from './useDemo';

/** How one's edits are doing; read out when it changes. */
export function ProgressLine({ document, isOnline }: { document: DemoSong; isOnline: boolean }) {
  const { tone, text } = progressOf(document, isOnline);
  return (
    <p
      className="progress"
      role="status"
      aria-label="Edits"
      title={text}
      data-testid="progress"
      data-tone={tone}
      data-unsent={document.unsent}
    >
      {text}
    </p>
  );
}
