// @vitest-environment happy-dom
import { EditorState } from '@codemirror/state';
import { EditorView } from '@codemirror/view';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { songDocument } from '../../src/editors/codemirror';
import { remoteCursors } from '../../src/editors/remoteCursors';
import { bindTextarea } from '../../src/editors/textarea';
import { WebSocketService } from '../../src/services/webSocketService';
import { sharedSong } from '../../src/roomSong';
import type { Song } from '../../src/types';
import { Daemon, until } from '../daemon';

let daemon: Daemon;
let rooms = 0;
const ends: (() => void)[] = [];

beforeAll(async () => {
  daemon = await Daemon.start({ 'limits.operations': 0 });
});
afterAll(() => daemon.stop());
afterEach(() => {
  ends.splice(0).forEach((end) => {
    end();
  });
});

async function songOf(
  user: string,
  roomId: string,
  claims: Record<string, unknown> = {},
): Promise<Song> {
  const service = new WebSocketService({ url: daemon.url });
  service.authenticate(daemon.token(user, claims));
  const { song, release } = sharedSong(service, roomId).hold();
  ends.push(() => {
    release();
    service.destroy();
  });
  await until(() => song.getSnapshot().state === 'live', `${user} is in ${roomId}`);
  return song;
}

function editorOf(song: Song): EditorView {
  const doc = song.getSnapshot().text;
  const view = new EditorView({
    state: EditorState.create({ doc, extensions: [songDocument(song)] }),
    parent: document.body,
  });
  ends.push(() => {
    view.destroy();
  });
  return view;
}

function fieldOf(song: Song): HTMLTextAreaElement {
  const element = document.body.appendChild(document.createElement('textarea'));
  ends.push(bindTextarea(element, song));
  return element;
}

/** Type behind so many characters, as a person does. */
function typeInto(target: EditorView | HTMLTextAreaElement, at: number, text: string): void {
  const shown = target instanceof EditorView ? target.state.doc.toString() : target.value;
  const from = Array.from(shown).slice(0, at).join('').length;
  if (target instanceof EditorView) {
    target.dispatch({ changes: { from, insert: text } });
  } else {
    target.value = target.value.slice(0, from) + text + target.value.slice(from);
    target.setSelectionRange(from + text.length, from + text.length);
    target.dispatchEvent(new InputEvent('input'));
  }
}

function newRoom(): string {
  rooms += 1;
  return `song-${rooms}`;
}

describe('editors at a real daemon', () => {
  it('two who type at once, one in an editor and one in a text field, end with one text', async () => {
    const roomId = newRoom();
    const [ada, bo] = [await songOf('ada', roomId), await songOf('bo', roomId)];
    const [editor, field] = [editorOf(ada), fieldOf(bo)];
    await until(() => !editor.state.readOnly && !field.readOnly, 'both may write');
    for (let turn = 0; turn < 40; turn += 1) {
      typeInto(editor, turn, turn % 7 ? 'a' : '[Am]\n');
      typeInto(field, 0, turn % 5 ? 'b' : '😀\n');
      if (turn % 4 === 0) {
        await new Promise((resolve) => setTimeout(resolve, 0)); // what has come is let in
      }
    }
    await until(
      () => [ada, bo].every((song) => song.getSnapshot().unsent === 0),
      'all of it is there',
    );
    const revision = () => Math.max(ada.getSnapshot().revision, bo.getSnapshot().revision);
    await until(() => [ada, bo].every((song) => song.getSnapshot().revision === revision()));
    expect(editor.state.doc.toString()).toBe(field.value);
    expect(field.value).toBe(ada.getSnapshot().text);
    expect(field.value.match(/a/g)).toHaveLength(34);
    expect(field.value.match(/b/g)).toHaveLength(32);
  });

  it('shows where the other is, and follows a song whose lines end otherwise', async () => {
    const roomId = newRoom();
    const [ada, bo] = [await songOf('ada', roomId), await songOf('bo', roomId)];
    ada.setText('one\r\ntwo\r\n');
    await until(() => bo.getSnapshot().text === 'one\r\ntwo\r\n');
    const [editor, field] = [editorOf(ada), fieldOf(bo)];
    await until(() => field.value === 'one\ntwo\n');
    field.focus();
    field.setSelectionRange(6, 6);
    document.dispatchEvent(new Event('selectionchange'));
    await until(() => editor.state.field(remoteCursors).length === 1, 'the cursor is seen');
    expect(editor.state.field(remoteCursors)[0]).toMatchObject({ userId: 'bo', offset: 6 });
    typeInto(field, 6, 'x');
    await until(() => editor.state.doc.toString() === 'one\ntwxo\n');
    expect(ada.getSnapshot().text).toBe('one\r\ntwxo\r\n');
  });

  it('cannot be written by who may only read, and shows what the others write', async () => {
    const roomId = newRoom();
    const ada = await songOf('ada', roomId);
    const reader = await songOf('bo', roomId, { rooms: { [roomId]: 'read' } });
    const [editor, field] = [editorOf(reader), fieldOf(reader)];
    ada.setText('[C]la');
    await until(() => field.value === '[C]la' && editor.state.doc.toString() === '[C]la');
    expect([editor.state.readOnly, field.readOnly]).toEqual([true, true]);
    typeInto(editor, 0, 'x');
    expect(editor.state.doc.toString()).toBe('[C]la');
  });
});
