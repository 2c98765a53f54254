/** ChordPro for CodeMirror: chords, directives and remarks, told apart by colour. */
import { HighlightStyle, StreamLanguage, type StringStream } from '@codemirror/language';
import { EditorView } from '@codemirror/view';
import { Tag, tags } from '@lezer/highlight';

export const chordProTags = {
  chord: Tag.define(tags.atom),
  /** In brackets, but no chord: `[*softly]`, `[Verse 1]`. */
  annotation: Tag.define(tags.annotation),
  directive: Tag.define(tags.keyword),
  value: Tag.define(tags.string),
  section: Tag.define(tags.heading),
  remark: Tag.define(tags.lineComment),
  /** Lines of a tablature or a grid, which are shown as they stand. */
  verbatim: Tag.define(tags.monospace),
  unfinished: Tag.define(tags.invalid),
};

const CHORD = /^\[(?:[A-H](?:[#b♯♭]|[ei]?s(?!us))?[^\s[\]]*|N\.?C\.?|\/|\|)\]/u;
const BRACKETS = /^\[[^[\]]*\]/u;
const OPENING = /^\{\s*([A-Za-z_]+(?:-[A-Za-z0-9_!]+)?)/u;
const VERBATIM = /^\{\s*(?:start_of_(?:tab|grid|abc|ly)|sot|sog)\b/u;
const VERBATIM_END = /^\{\s*(?:end_of_(?:tab|grid|abc|ly)|eot|eog)\b/u;
const SECTION = /^(?:start_of_\w+|end_of_\w+|[se]o[cvbtg]|chorus)$/u;

interface State {
  isVerbatim: boolean;
  /** Where in a directive: not in one, before its value, in it. */
  place: 'song' | 'directive' | 'value';
}

function inDirective(stream: StringStream, state: State): string {
  if (stream.eat('}')) {
    state.place = 'song';
    return 'directive';
  }
  if (state.place === 'directive' && stream.match(/^\s*(?::|(?=\s))/u)) {
    state.place = 'value';
    return 'directive';
  }
  if (stream.match(/^[^{}]+/u)) {
    return 'value';
  }
  stream.next();
  return 'unfinished';
}

function inSong(stream: StringStream, state: State): string | null {
  if (stream.sol() && stream.match(/^#.*/u)) {
    return 'remark';
  }
  const opening = stream.match(OPENING, false);
  if (opening && opening !== true) {
    state.isVerbatim = stream.match(VERBATIM, false)
      ? true
      : state.isVerbatim && !stream.match(VERBATIM_END, false);
    const isWhole = stream.string.includes('}', stream.pos);
    stream.match(OPENING);
    state.place = 'directive';
    return isWhole ? (SECTION.test(opening[1] ?? '') ? 'section' : 'directive') : 'unfinished';
  }
  if (state.isVerbatim) {
    stream.skipToEnd();
    return 'verbatim';
  }
  if (stream.match(CHORD)) {
    return 'chord';
  }
  if (stream.match(BRACKETS)) {
    return 'annotation';
  }
  if (stream.eat(/[[\]{}]/u)) {
    return 'unfinished';
  }
  stream.match(/^[^[\]{}]+/u);
  return null;
}

export const chordProLanguage = StreamLanguage.define<State>({
  name: 'chordpro',
  startState: () => ({ isVerbatim: false, place: 'song' }),
  copyState: (state) => ({ ...state }),
  token(stream, state) {
    if (stream.sol()) {
      state.place = 'song'; // a directive ends with its line
    }
    return state.place === 'song' ? inSong(stream, state) : inDirective(stream, state);
  },
  languageData: {
    commentTokens: { line: '#' },
    closeBrackets: { brackets: ['[', '{'] },
    wordChars: '#♯♭/',
  },
  tokenTable: chordProTags,
});

/** The classes of what is told apart; their colours are the theme's, and can be set by the page. */
export const chordProHighlighting = HighlightStyle.define(
  Object.entries(chordProTags).map(([name, tag]) => ({ tag, class: `cm-chordpro-${name}` })),
);

const color = (name: string, light: string) => ({ color: `var(--chordme-${name}, ${light})` });

export const chordProTheme = EditorView.baseTheme({
  '.cm-chordpro-chord': { fontWeight: '600' },
  '.cm-chordpro-annotation': { fontStyle: 'italic' },
  '.cm-chordpro-section': { fontWeight: '600' },
  '.cm-chordpro-remark': { fontStyle: 'italic' },
  '.cm-chordpro-unfinished': { textDecoration: 'underline wavy 1px' },
  '&light .cm-chordpro-chord': color('chord', '#0b5cad'),
  '&light .cm-chordpro-annotation': color('annotation', '#7a4b00'),
  '&light .cm-chordpro-directive': color('directive', '#7b2d8b'),
  '&light .cm-chordpro-section': color('section', '#7b2d8b'),
  '&light .cm-chordpro-value': color('value', '#26663a'),
  '&light .cm-chordpro-remark': color('remark', '#666666'),
  '&light .cm-chordpro-verbatim': color('verbatim', '#444444'),
  '&light .cm-chordpro-unfinished': color('unfinished', '#b3261e'),
  '&dark .cm-chordpro-chord': color('chord', '#7cc4ff'),
  '&dark .cm-chordpro-annotation': color('annotation', '#f0b762'),
  '&dark .cm-chordpro-directive': color('directive', '#d9a0ea'),
  '&dark .cm-chordpro-section': color('section', '#d9a0ea'),
  '&dark .cm-chordpro-value': color('value', '#8fd6a5'),
  '&dark .cm-chordpro-remark': color('remark', '#9a9a9a'),
  '&dark .cm-chordpro-verbatim': color('verbatim', '#c4c4c4'),
  '&dark .cm-chordpro-unfinished': color('unfinished', '#ff8a80'),
});
