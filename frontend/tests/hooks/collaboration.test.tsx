// @vitest-environment happy-dom
import { act, cleanup } from '@testing-library/react';
import { useEffect } from 'react';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { useSongDocument, useWebSocket } from '../../src/hooks/useWebSocket';
import { apply, fromWire } from '../../src/ot';
import type { FlatOperation } from '../../src/types';
import { Daemon } from '../daemon';
import { endAll, page, serviceAt, shown } from './people';

let daemon: Daemon;
let rooms = 0;

beforeAll(async () => {
  daemon = await Daemon.start({ 'limits.operations': 0 });
});
afterAll(() => daemon.stop());
afterEach(() => {
  cleanup();
  endAll();
});

type All = ReturnType<typeof useWebSocket>;

/** A page that keeps a text of its own, as ChordMe's does: what comes is applied in an effect. */
async function editor(user: string, roomId: string) {
  const now: Partial<All> & { text: string; seen: string[] } = { text: '', seen: [] };
  const token = daemon.token(user);
  function Editor() {
    const all = useWebSocket({ roomId, token, autoJoinRoom: true });
    const { operations } = all.collaboration;
    Object.assign(now, all);
    useEffect(() => {
      operations.forEach((operation) => {
        now.text = apply(now.text, fromWire([operation]));
        now.seen.push(operation.id);
      });
    }, [operations]);
    return null;
  }
  const { unmount } = page(serviceAt(daemon), <Editor />);
  await shown(() => now.room?.currentRoom === roomId, `${user} is in ${roomId}`);
  const send = (operation: FlatOperation) => {
    now.text = apply(now.text, fromWire([operation]));
    act(() => {
      now.collaboration?.sendOperation(operation);
    });
  };
  return { now, send, unmount };
}

function newRoom() {
  rooms += 1;
  return `song-${rooms}`;
}

describe('two who edit one song', () => {
  it('are given each operation of the other once, and none of their own', async () => {
    const roomId = newRoom();
    const ada = await editor('ada', roomId);
    const bo = await editor('bo', roomId);
    for (let at = 0; at < 30; at += 1) {
      ada.send({ type: 'insert', position: at, content: 'a' });
      bo.send({ type: 'insert', position: 0, content: 'b' });
    }
    await shown(
      () => ada.now.text.length === 60 && bo.now.text.length === 60,
      'both have all of it',
    );
    expect(ada.now.text).toBe(bo.now.text);
    expect(ada.now.text).toBe(ada.now.collaboration?.text);
    expect(new Set(bo.now.seen).size).toBe(bo.now.seen.length);
    await shown(() => ada.now.collaboration?.pendingOperations.length === 0, 'nothing is pending');
  });

  it('who comes later begins with the text, and is not told it again', async () => {
    const roomId = newRoom();
    const ada = await editor('ada', roomId);
    ada.send({ type: 'insert', position: 0, content: '[C]la' });
    await shown(() => ada.now.collaboration?.pendingOperations.length === 0);
    const bo = await editor('bo', roomId);
    expect(bo.now.collaboration?.text).toBe('[C]la');
    expect(bo.now.seen).toEqual([]);
    bo.now.text = '[C]la';
    ada.send({ type: 'delete', position: 0, length: 3 });
    await shown(() => bo.now.text === 'la');
  });

  it('see where the other is, until the other leaves', async () => {
    const roomId = newRoom();
    const ada = await editor('ada', roomId);
    const bo = await editor('bo', roomId);
    ada.send({ type: 'insert', position: 0, content: 'one\ntwo' });
    await shown(() => bo.now.text === 'one\ntwo');
    act(() => {
      bo.now.collaboration?.sendCursorUpdate({ line: 1, column: 2 });
    });
    await shown(() => ada.now.collaboration?.cursors.length === 1, 'the cursor is seen');
    expect(ada.now.collaboration?.cursors[0]).toMatchObject({ userId: 'bo', line: 1, column: 2 });
    expect(ada.now.collaboration?.cursors[0]?.offset).toBe(6);
    bo.unmount();
    await shown(() => ada.now.collaboration?.cursors.length === 0, 'the cursor is gone');
  });
});

describe('a song', () => {
  it('is edited by all who show it, and each undoes what is theirs', async () => {
    const roomId = newRoom();
    const [ada, bo]: Partial<ReturnType<typeof useSongDocument>>[] = [{}, {}];
    const Song = ({ now }: { now: object }) => {
      Object.assign(now, useSongDocument(roomId));
      return null;
    };
    for (const [user, now] of [
      ['ada', ada],
      ['bo', bo],
    ] as const) {
      const service = serviceAt(daemon);
      service.authenticate(daemon.token(user));
      page(service, <Song now={now ?? {}} />);
    }
    await shown(() => ada?.state === 'live' && bo?.state === 'live', 'both are there');
    act(() => ada?.edit?.(['Ada']));
    await shown(() => bo?.text === 'Ada');
    act(() => bo?.edit?.([3, ' Bo']));
    await shown(() => ada?.text === 'Ada Bo');
    expect(ada?.canUndo).toBe(true);
    act(() => {
      ada?.undo?.();
    });
    await shown(() => bo?.text === ' Bo');
    act(() => {
      ada?.redo?.();
    });
    await shown(() => bo?.text === 'Ada Bo' && ada?.unsent === 0);
    expect(ada?.participants?.map(({ user_id }) => user_id).sort()).toEqual(['ada', 'bo']);
  });
});
