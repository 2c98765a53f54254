// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { bindTextarea, changeBetween } from '../../src/editors/textarea';
import { MemorySong } from '../memorySong';

let unbind = () => undefined as unknown;

function bind(text: string, rest: ConstructorParameters<typeof MemorySong>[1] = {}) {
  const song = new MemorySong(text, rest);
  const element = document.body.appendChild(document.createElement('textarea'));
  unbind = bindTextarea(element, song);
  element.focus();
  return { song, element };
}

async function bound(text: string, rest: ConstructorParameters<typeof MemorySong>[1] = {}) {
  const all = bind(text, rest);
  await Promise.resolve();
  return all;
}

/** Type as a browser does: the text is changed, the cursor stands behind it, and an event tells. */
function type(element: HTMLTextAreaElement, text: string, from: number, to = from) {
  element.value = element.value.slice(0, from) + text + element.value.slice(to);
  element.setSelectionRange(from + text.length, from + text.length);
  element.dispatchEvent(new InputEvent('input', { bubbles: true }));
}

function press(element: HTMLTextAreaElement, key: string, rest: KeyboardEventInit = {}) {
  const event = new KeyboardEvent('keydown', { key, ctrlKey: true, cancelable: true, ...rest });
  element.dispatchEvent(event);
  return event.defaultPrevented;
}

beforeEach(() => {
  document.body.replaceChildren();
});

afterEach(() => {
  unbind();
  vi.useRealTimers();
});

describe('a text field bound to a song', () => {
  it('shows the song, and what the person types goes into the song', async () => {
    const { song, element } = await bound('[C]la');
    expect(element.value).toBe('[C]la');
    type(element, 'la', 5);
    expect(song.text).toBe('[C]lala');
    expect(song.edits).toEqual([[5, 'la']]);
  });

  it('shows what others type, and keeps cursor and selection where they were in the text', async () => {
    const { song, element } = await bound('one two');
    element.setSelectionRange(4, 7, 'backward');
    song.remote([3, ' and']);
    song.remote(['> ']);
    expect(element.value).toBe('> one and two');
    expect([element.selectionStart, element.selectionEnd]).toEqual([10, 13]);
    expect(element.selectionDirection).toBe('backward');
  });

  it('keeps a cursor before what others type at it, and a selection does not grow', async () => {
    const { song, element } = await bound('abcd');
    element.setSelectionRange(2, 2);
    song.remote([2, 'XX']);
    expect([element.selectionStart, element.selectionEnd]).toEqual([2, 2]);
    element.setSelectionRange(1, 3);
    song.remote([1, '<', 2, '>']);
    expect([element.selectionStart, element.selectionEnd]).toEqual([2, 4]);
  });

  it('tells no edit of what came from the song', async () => {
    const { song, element } = await bound('ab');
    song.remote([1, 'X']);
    element.dispatchEvent(new InputEvent('input'));
    expect(song.edits).toEqual([]);
  });

  it('undoes and redoes own edits by keys, and not those of others', async () => {
    const { song, element } = await bound('ab');
    type(element, 'X', 1);
    song.remote(['> ']);
    expect(press(element, 'z')).toBe(true);
    expect(element.value).toBe('> ab');
    expect(element.selectionStart).toBe(3);
    expect(press(element, 'Z', { shiftKey: true })).toBe(true);
    expect(element.value).toBe('> aXb');
    expect(press(element, 'z', { ctrlKey: false, metaKey: true })).toBe(true);
    expect(press(element, 'y')).toBe(true);
    expect(element.value).toBe('> aXb');
    expect(press(element, 'z', { ctrlKey: false })).toBe(false);
    expect(press(element, 'z', { altKey: true })).toBe(false);
  });

  it('undoes by the menu too', async () => {
    const { element } = await bound('ab');
    type(element, 'X', 1);
    const asked = new InputEvent('beforeinput', { inputType: 'historyUndo', cancelable: true });
    element.dispatchEvent(asked);
    expect(asked.defaultPrevented).toBe(true);
    expect(element.value).toBe('ab');
  });

  it('cannot be written by who may only read, as long as that is so', async () => {
    const { song, element } = await bound('ab', { permission: 'read' });
    expect(element.readOnly).toBe(true);
    song.set({ permission: 'edit' });
    await Promise.resolve();
    expect(element.readOnly).toBe(false);
    song.set({ state: 'refused' });
    await Promise.resolve();
    expect(element.readOnly).toBe(true);
    unbind();
    expect(element.readOnly).toBe(false);
  });

  it('holds back what others type while a character is composed, and loses neither', async () => {
    const { song, element } = await bound('ab');
    element.dispatchEvent(new CompositionEvent('compositionstart'));
    type(element, 'に', 1);
    song.remote(['XX']);
    expect(element.value).toBe('aにb');
    type(element, '日', 1, 2);
    type(element, '本', 2);
    expect(element.value).toBe('a日本b');
    expect(song.text).toBe('XXa日本b');
    element.dispatchEvent(new CompositionEvent('compositionend'));
    expect(element.value).toBe('XXa日本b');
    expect(element.selectionStart).toBe(5);
  });

  it('is not held up by a composition that has changed nothing', async () => {
    const { song, element } = await bound('ab');
    element.dispatchEvent(new CompositionEvent('compositionstart'));
    song.remote(['XX']);
    expect(element.value).toBe('XXab');
  });

  it('is held up no longer than a while by a composition that rests', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { song, element } = await bound('ab');
    element.dispatchEvent(new CompositionEvent('compositionstart'));
    type(element, 'x', 1);
    song.remote(['XX']);
    vi.advanceTimersByTime(4999);
    expect(element.value).toBe('axb');
    vi.advanceTimersByTime(1);
    expect(element.value).toBe('XXaxb');
  });

  it('keeps the line ends of the song', async () => {
    const { song, element } = await bound('a\r\nb\r\nc');
    expect(element.value).toBe('a\nb\nc');
    type(element, 'x\ny', 3);
    expect(song.text).toBe('a\r\nbx\r\ny\r\nc');
    song.remote([4, '!']);
    expect(element.value).toBe('a\nb!x\ny\nc');
  });

  it('tells where its cursor is, in units of the song', async () => {
    const { song, element } = await bound('a\r\nbc');
    element.setSelectionRange(3, 3);
    document.dispatchEvent(new Event('selectionchange'));
    expect(song.cursor).toEqual({ offset: 4, selection: undefined });
    element.setSelectionRange(1, 3, 'backward');
    document.dispatchEvent(new Event('selectionchange'));
    expect(song.cursor).toEqual({ offset: 1, selection: [1, 4] });
  });

  it('gives back what was there when the song refuses an edit', async () => {
    const { song, element } = await bound('ab');
    vi.spyOn(song, 'edit').mockImplementation(() => {
      throw new RangeError('no');
    });
    type(element, 'X', 1);
    await Promise.resolve();
    expect(element.value).toBe('ab');
  });

  it('two of one song show the same', async () => {
    const { song, element } = await bound('ab');
    const other = document.body.appendChild(document.createElement('textarea'));
    const unbindOther = bindTextarea(other, song);
    await Promise.resolve();
    type(element, 'X', 1);
    expect(other.value).toBe('aXb');
    type(other, 'Y', 3);
    expect(element.value).toBe('aXbY');
    unbindOther();
    type(element, 'Z', 0);
    expect(other.value).toBe('aXbY');
  });

  it('a text that was in the field before gives way to the song', async () => {
    const song = new MemorySong('song');
    const element = document.body.appendChild(document.createElement('textarea'));
    element.value = 'draft';
    unbind = bindTextarea(element, song);
    await Promise.resolve();
    expect(element.value).toBe('song');
    expect(song.edits).toEqual([]);
  });
});

describe('what was changed', () => {
  it.each([
    ['aaa', 'aaaa', 1, { from: 0, to: 0, insert: 'a' }],
    ['aaa', 'aaaa', 4, { from: 3, to: 3, insert: 'a' }],
    ['aaa', 'aa', 1, { from: 1, to: 2, insert: '' }],
    ['abc', 'abc', 3, null],
    ['abc', 'xabc', 0, { from: 0, to: 0, insert: 'x' }],
    ['one two', 'one', 3, { from: 3, to: 7, insert: '' }],
  ])('from %s to %s with the cursor at %i', (before, after, cursor, change) => {
    expect(changeBetween(before, after, cursor)).toEqual(change);
  });
});
