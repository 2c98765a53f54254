import { useState, type SubmitEvent } from 'react';
import { colorOf } from '../src/people';
import { Icon } from './icons';
import { madeUpName } from './names';
import { initialsOf } from './people';
import { LONGEST_NAME, newPerson, type Person } from './person';

interface PersonMenuProps {
  readonly person: Person;
  readonly become: (next: Person) => void;
  /** What this person has typed has arrived. */
  readonly isSaved: boolean;
}

/** Who one is, and how one becomes somebody else. */
export function PersonMenu({ person, become, isSaved }: PersonMenuProps) {
  return (
    <>
      <button
        type="button"
        className="button who"
        popoverTarget="person"
        data-testid="who"
        title="Who you are"
      >
        <span
          className="avatar small"
          style={{ background: colorOf(person.id) }}
          aria-hidden="true"
        >
          {initialsOf(person.name)}
        </span>
        <span className="unseen">You are </span>
        <span className="who-name">{person.name}</span>
      </button>
      <div id="person" className="popover" popover="auto" role="dialog" aria-label="Who you are">
        <PersonForm key={person.id} person={person} become={become} isSaved={isSaved} />
      </div>
    </>
  );
}

function PersonForm({ person, become, isSaved }: PersonMenuProps) {
  const [name, setName] = useState(person.name);
  const { permission } = person;
  const use = (event: SubmitEvent) => {
    event.preventDefault();
    event.currentTarget.closest<HTMLElement>('[popover]')?.hidePopover();
    become(newPerson({ name, permission }));
  };
  return (
    <form onSubmit={use}>
      <h2>Who are you?</h2>
      <p className="hint">The others see this name at your cursor.</p>
      <div className="row">
        <input
          aria-label="Your name"
          value={name}
          maxLength={LONGEST_NAME}
          autoComplete="off"
          onChange={(event) => {
            setName(event.target.value);
          }}
        />
        <button
          type="button"
          className="tool"
          title="Make up another name"
          onClick={() => {
            setName(madeUpName());
          }}
        >
          <Icon name="dice" />
          <span className="unseen">Make up another name</span>
        </button>
      </div>
      <button
        type="submit"
        className="button primary"
        disabled={name.trim() === person.name || !isSaved}
      >
        Be this person
      </button>
      {!isSaved && <p className="hint">Your edits are yours: wait until they are saved.</p>}
      <label className="switch">
        <input
          type="checkbox"
          role="switch"
          checked={permission === 'read'}
          onChange={(event) => {
            become({ ...person, permission: event.target.checked ? 'read' : 'edit' });
          }}
        />
        <span>
          View only
          <small>You read along, and cannot edit.</small>
        </span>
      </label>
    </form>
  );
}
