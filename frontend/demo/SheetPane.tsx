import { useEffect, useMemo, useState } from 'react';
import { Icon } from './icons';
import { useThrottled } from './useThrottled';
import { sheetOf, type Section, type SheetLine, type Word } from './sheet';

/** The song as it is sung from: chords over lyrics, in whatever key. */
export default function SheetPane({ text }: { text: string }) {
  const [steps, setSteps] = useState(0);
  const shown = useThrottled(text);
  const sheet = useMemo(() => sheetOf(shown, steps), [shown, steps]);
  useEffect(() => {
    document.title = [sheet.title, 'ChordMe'].filter(Boolean).join(' – ');
  }, [sheet.title]);
  const step = (by: number) => () => {
    setSteps((now) => (now + by) % 12);
  };
  return (
    <section className="pane sheet-pane" aria-label="Song sheet">
      <div className="toolbar" role="toolbar" aria-label="Sheet">
        <span className="caption" id="key-caption">
          Key
        </span>
        <div className="stepper" role="group" aria-labelledby="key-caption">
          <button
            type="button"
            className="tool worded"
            aria-label="A semitone down"
            onClick={step(-1)}
          >
            −
          </button>
          <output className="key" data-testid="key" aria-live="polite">
            {sheet.key || (steps > 0 ? `+${steps}` : steps)}
          </output>
          <button
            type="button"
            className="tool worded"
            aria-label="A semitone up"
            onClick={step(1)}
          >
            +
          </button>
        </div>
        {steps !== 0 && (
          <button
            type="button"
            className="tool worded"
            onClick={() => {
              setSteps(0);
            }}
          >
            As written
          </button>
        )}
        <span className="spring" />
        <button
          type="button"
          className="tool"
          title="Print the sheet"
          onClick={() => {
            window.print();
          }}
        >
          <Icon name="print" />
          <span className="unseen">Print</span>
        </button>
      </div>
      <article className="sheet" data-testid="sheet" tabIndex={0} aria-label="Sheet">
        <header>
          <h1>{sheet.title || 'Untitled'}</h1>
          {sheet.subtitle && <p className="subtitle">{sheet.subtitle}</p>}
          <p className="byline">
            {[sheet.artist, ...sheet.facts].filter(Boolean).map((fact) => (
              <span key={fact}>{fact}</span>
            ))}
          </p>
        </header>
        {sheet.sections.map((section, index) => (
          <SheetSection key={index} section={section} />
        ))}
      </article>
    </section>
  );
}

function SheetSection({ section: { kind, label, lines } }: { section: Section }) {
  return (
    <section className="song-section" data-kind={kind}>
      {label && <h2>{label}</h2>}
      {lines.map((line, index) => (
        <LineOfSheet key={index} line={line} />
      ))}
    </section>
  );
}

function LineOfSheet({ line }: { line: SheetLine }) {
  if (line.kind !== 'lyrics') {
    return line.kind === 'comment' ? (
      <p className="remark">{line.text}</p>
    ) : (
      <pre className="verbatim">{line.text}</pre>
    );
  }
  return (
    <p className="lyrics" data-chords={line.hasChords}>
      {line.words.map((word, index) => (
        <WordOfSheet key={index} word={word} />
      ))}
    </p>
  );
}

function WordOfSheet({ word }: { word: Word }) {
  return (
    <span className="word">
      {word.map(({ chord, annotation, lyrics }, index) => (
        <span className="pair" key={index}>
          {chord && <b className="chord">{chord}</b>}
          {annotation && <i className="annotation">{annotation}</i>}
          <span className="lyric">{lyrics}</span>
        </span>
      ))}
    </span>
  );
}
