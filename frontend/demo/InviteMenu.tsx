import { useState } from 'react';
import { Icon } from './icons';
import { addressOf, newSong } from './songs';

/** How somebody else gets here: by a link, or as another tab of one's own. */
export function InviteMenu({ songId }: { songId: string }) {
  const [copied, setCopied] = useState(false);
  const address = addressOf(songId, window.location.href);
  const copy = () => {
    navigator.clipboard.writeText(address).then(
      () => {
        setCopied(true);
      },
      () => {
        setCopied(false); // not allowed: it can be copied by hand
      },
    );
  };
  return (
    <>
      <button
        type="button"
        className="button primary invite"
        popoverTarget="invite"
        title="Invite others"
        onClick={() => {
          setCopied(false);
        }}
      >
        <Icon name="link" />
        <span className="wide">Invite</span>
      </button>
      <div id="invite" className="popover" popover="auto" role="dialog" aria-label="Invite others">
        <h2>Write it together</h2>
        <p className="hint">Whoever opens this link is in the song, at once.</p>
        <div className="row">
          <input
            aria-label="Link to this song"
            readOnly
            value={address}
            onFocus={(event) => {
              event.target.select();
            }}
          />
          <button type="button" className="button" onClick={copy}>
            {copied ? 'Copied' : 'Copy'}
          </button>
        </div>
        <a className="button" href={address} target="_blank" rel="noopener noreferrer">
          Open as a second person
        </a>
        <a className="button" href={addressOf(newSong(), window.location.href)}>
          Begin a new song
        </a>
      </div>
    </>
  );
}
