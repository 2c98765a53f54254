import { colorOf } from '../src/people';
import type { Participant, UserId } from '../src/types';
import { initialsOf, inOrder, nameOfParticipant } from './people';

interface AvatarsProps {
  readonly participants: readonly Participant[];
  readonly self: string;
  /** For how many there is room; the rest is a number. */
  readonly most: number;
  /** Have the place in view where somebody is. */
  readonly onFind: (userId: UserId) => void;
}

/** Who is here. */
export function Avatars({ participants, self, most, onFind }: AvatarsProps) {
  const people = inOrder(participants, self);
  const more = people.slice(most);
  return (
    <>
      <p className="unseen" aria-live="polite">
        {people.length === 1 ? 'Nobody else is here' : `${people.length} people are here`}
      </p>
      <ul
        className="avatars"
        aria-label="People in this song"
        data-testid="people"
        data-count={people.length}
      >
        {people.slice(0, most).map((one) => {
          const name = nameOfParticipant(one);
          const isSelf = one.user_id === self;
          return (
            <li key={one.user_id}>
              <button
                type="button"
                className="avatar"
                style={{ background: colorOf(one.user_id) }}
                title={isSelf ? `${name} (you)` : `${name}: show where they are`}
                aria-label={isSelf ? `${name} (you)` : `Find ${name}`}
                onClick={() => {
                  onFind(one.user_id);
                }}
              >
                {initialsOf(name)}
              </button>
            </li>
          );
        })}
        {more.length > 0 && (
          <li className="avatar more" title={more.map(nameOfParticipant).join(', ')}>
            +{more.length}
          </li>
        )}
      </ul>
    </>
  );
}
