import { useEffect, useRef, useState, type SubmitEvent } from 'react';
import { colorOf } from '../src/people';
import { inOrderOfTime, saidIn, type Said } from './chat';
import { Icon } from './icons';
import type { NameOf } from './people';
import type { DemoSong } from './useDemo';

const LONGEST_MESSAGE = 1000;

interface ChatProps {
  readonly document: DemoSong;
  readonly nameOf: NameOf;
  readonly self: string;
  readonly onClose: () => void;
}

/** What the people in a song say to each other. */
export function Chat({ document, nameOf, self, onClose }: ChatProps) {
  const { sendMessage } = document;
  const [own, setOwn] = useState<readonly Said[]>([]);
  const messages = inOrderOfTime(document.messages, own);
  const count = messages.length;
  const log = useRef<HTMLOListElement>(null);
  useEffect(() => {
    log.current?.scrollTo({ top: log.current.scrollHeight });
  }, [count]);
  const send = async (message: string) => {
    await sendMessage(message);
    setOwn((said) => [...said, { user_id: self, message, timestamp: Date.now() }]);
  };
  return (
    <aside className="pane chat-pane" aria-label="Chat">
      <div className="toolbar">
        <h2 className="caption">Chat</h2>
        <span className="spring" />
        <button type="button" className="tool chat-close" onClick={onClose} title="Close the chat">
          <Icon name="close" />
          <span className="unseen">Close the chat</span>
        </button>
      </div>
      <ol
        className="log"
        role="log"
        aria-label="What was said"
        ref={log}
        data-testid="messages"
        tabIndex={0}
      >
        {messages.length === 0 && (
          <li className="nothing">Nobody has said anything yet. Who sings the second voice?</li>
        )}
        {messages.map((message, index) => (
          <Message
            key={index}
            message={message}
            name={nameOf(message.user_id)}
            isOwn={message.user_id === self}
            isFirst={messages[index - 1]?.user_id !== message.user_id}
          />
        ))}
      </ol>
      <Composer send={send} />
    </aside>
  );
}

interface MessageProps {
  readonly message: Said;
  readonly name: string;
  readonly isOwn: boolean;
  readonly isFirst: boolean;
}

function Message({ message, name, isOwn, isFirst }: MessageProps) {
  const at = new Date(message.timestamp);
  return (
    <li className="message" data-own={isOwn}>
      {isFirst && (
        <p className="author">
          <span className="dot" style={{ background: colorOf(message.user_id) }} />
          {isOwn ? 'You' : name}
          <time dateTime={at.toISOString()}>
            {at.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })}
          </time>
        </p>
      )}
      <p className="said">{saidIn(message.message)}</p>
    </li>
  );
}

function Composer({ send }: { send: (message: string) => Promise<void> }) {
  const [text, setText] = useState('');
  const [problem, setProblem] = useState('');
  const say = (event: SubmitEvent) => {
    event.preventDefault();
    const said = text.trim();
    if (said === '') {
      return;
    }
    setText('');
    setProblem('');
    send(said).catch((error: unknown) => {
      setProblem(error instanceof Error ? error.message : 'It was not sent');
      setText((now) => (now === '' ? said : now));
    });
  };
  return (
    <form className="composer" onSubmit={say}>
      {problem && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
      <input
        value={text}
        maxLength={LONGEST_MESSAGE}
        placeholder="Say something"
        aria-label="Message"
        autoComplete="off"
        enterKeyHint="send"
        onChange={(event) => {
          setText(event.target.value);
        }}
      />
      <button type="submit" className="tool send" disabled={text.trim() === ''} title="Send">
        <Icon name="send" />
        <span className="unseen">Send</span>
      </button>
    </form>
  );
}
