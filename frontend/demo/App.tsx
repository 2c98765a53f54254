import type { EditorView } from '@codemirror/view';
import { lazy, Suspense, useState, useSyncExternalStore } from 'react';
import { ConnectionStatusIndicator } from '../src/components/ConnectionStatusIndicator';
import type { UserId } from '../src/types';
import { Avatars } from './Avatars';
import { Chat } from './Chat';
import { reveal } from './Editor';
import { Icon, Mark, type IconName } from './icons';
import { InviteMenu } from './InviteMenu';
import { useNames } from './people';
import { PersonMenu } from './PersonMenu';
import { useDemoSong, useOnline, usePerson, useSongId } from './useDemo';
import { WritePane } from './WritePane';

const SheetPane = lazy(() => import('./SheetPane'));

type View = 'write' | 'sheet' | 'chat';
const VIEWS: readonly { view: View; label: string; icon: IconName }[] = [
  { view: 'write', label: 'Write', icon: 'pen' },
  { view: 'sheet', label: 'Sheet', icon: 'sheet' },
  { view: 'chat', label: 'Chat', icon: 'chat' },
];

export function App() {
  const [person, become] = usePerson();
  const online = useOnline(person);
  const songId = useSongId();
  const document = useDemoSong(songId);
  const nameOf = useNames(document.participants);
  const [editor, setEditor] = useState<EditorView | null>(null);
  const [view, setView] = useState<View>('write');
  const [isChatOpen, setChatOpen] = useState(true);
  const isPhone = useIsPhone();
  const unread = useUnread(document.messages.length, isPhone ? view === 'chat' : isChatOpen);
  const find = (userId: UserId) => {
    const cursor = document.cursors.find((one) => one.userId === userId);
    if (editor && cursor?.offset != null) {
      reveal(editor, cursor.offset);
    }
  };
  return (
    <div
      className="page"
      data-view={view}
      data-chat={isChatOpen}
      data-testid="page"
      data-state={document.state}
    >
      <header className="bar">
        <a className="brand" href="." aria-label="ChordMe, the first song">
          <Mark />
          <span className="wide">ChordMe</span>
        </a>
        <ConnectionStatusIndicator showDetails className="status" />
        <button
          type="button"
          className="button offline"
          aria-pressed={!online.isOnline}
          title={online.isOnline ? 'Try it without a connection' : 'Connect again'}
          onClick={online.toggle}
        >
          <Icon name={online.isOnline ? 'offline' : 'online'} />
          <span className="wide">{online.isOnline ? 'Go offline' : 'Go online'}</span>
        </button>
        <span className="spring" />
        <Avatars
          participants={document.participants}
          self={person.id}
          most={isPhone ? 3 : 6}
          onFind={find}
        />
        <PersonMenu person={person} become={become} isSaved={document.unsent === 0} />
        <InviteMenu songId={songId} />
      </header>
      <main className="panes">
        <WritePane
          document={document}
          isOnline={online.isOnline}
          view={editor}
          onView={setEditor}
        />
        <Suspense fallback={<section className="pane sheet-pane" aria-busy="true" />}>
          <SheetPane text={document.text} />
        </Suspense>
        <Chat
          document={document}
          nameOf={nameOf}
          self={person.id}
          onClose={() => {
            setChatOpen(false);
          }}
        />
      </main>
      {!isChatOpen && (
        <button
          type="button"
          className="button chat-open"
          onClick={() => {
            setChatOpen(true);
          }}
        >
          <Icon name="chat" />
          Chat
          <Unread count={unread} />
        </button>
      )}
      <nav className="views" aria-label="Views">
        {VIEWS.map(({ view: one, label, icon }) => (
          <button
            key={one}
            type="button"
            aria-current={one === view ? 'page' : undefined}
            onClick={() => {
              setView(one);
            }}
          >
            <Icon name={icon} />
            {label}
            {one === 'chat' && <Unread count={unread} />}
          </button>
        ))}
      </nav>
    </div>
  );
}

function Unread({ count }: { count: number }) {
  return count === 0 ? null : (
    <span className="unread">
      {count}
      <span className="unseen"> new</span>
    </span>
  );
}

const PHONE = window.matchMedia('(width < 48rem)');

/** Whether one thing is shown at a time, as layout.css has it. */
function useIsPhone(): boolean {
  return useSyncExternalStore(
    (tell) => {
      PHONE.addEventListener('change', tell);
      return () => {
        PHONE.removeEventListener('change', tell);
      };
    },
    () => PHONE.matches,
  );
}

/** How many messages have come since they were last looked at. */
function useUnread(count: number, isLookedAt: boolean): number {
  const [seen, setSeen] = useState(count);
  // There are fewer when somebody else is here.
  if (isLookedAt ? seen !== count : seen > count) {
    setSeen(count);
  }
  return isLookedAt ? 0 : Math.max(0, count - seen);
}
