// @vitest-environment happy-dom
import { act, cleanup } from '@testing-library/react';
import { useState } from 'react';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { useSongDocument, useWebSocket } from '../../src/hooks/useWebSocket';
import { Daemon, until } from '../daemon';
import { endAll, page, serviceAt, shown, watcher } from './people';

let daemon: Daemon;
let rooms = 0;

beforeAll(async () => {
  daemon = await Daemon.start();
});
afterAll(() => daemon.stop());
afterEach(() => {
  cleanup();
  endAll();
});

function newRoom() {
  rooms += 1;
  return `room-${rooms}`;
}

type All = ReturnType<typeof useWebSocket>;
type Props = Parameters<typeof useWebSocket>[0];

/** A page that shows nothing; what its hooks say is in `now`. */
function probe(now: Partial<All>) {
  return function Probe(props: Props) {
    Object.assign(now, useWebSocket(props));
    return null;
  };
}

describe('a room', () => {
  it('is joined once it can be, and stays joined over renders, strictly mounted or not', async () => {
    const roomId = newRoom();
    const { seen } = await watcher(daemon, roomId);
    const now: Partial<All> = {};
    const Probe = probe(now);
    const shownPage = page(serviceAt(daemon), <Probe roomId={roomId} autoJoinRoom />);
    expect(now.room?.currentRoom).toBeNull();
    const token = daemon.token('ada');
    shownPage.show(<Probe roomId={roomId} token={token} autoJoinRoom />);
    await shown(() => now.room?.currentRoom === roomId, 'ada is in the room');
    for (let render = 0; render < 5; render += 1) {
      shownPage.show(<Probe roomId={roomId} token={() => token} autoJoinRoom />);
    }
    await shown(() => now.room?.roomInfo?.participantCount === 2, 'two are there');
    expect(seen).toEqual(['user_joined ada']);
    expect(now.isReady).toBe(true);
    shownPage.unmount();
    await until(() => seen.length === 2, 'ada has left');
    expect(seen).toEqual(['user_joined ada', 'user_left ada']);
  });

  it('gives way to another room when the page shows another', async () => {
    const [first, second] = [newRoom(), newRoom()];
    const atFirst = await watcher(daemon, first, 'one');
    const atSecond = await watcher(daemon, second, 'two');
    const now: Partial<All> = {};
    const Probe = probe(now);
    const token = daemon.token('ada');
    const shownPage = page(serviceAt(daemon), <Probe roomId={first} token={token} autoJoinRoom />);
    await shown(() => now.room?.currentRoom === first);
    shownPage.show(<Probe roomId={second} token={token} autoJoinRoom />);
    await shown(() => now.room?.currentRoom === second);
    await until(() => atFirst.seen.length === 2);
    expect(atFirst.seen).toEqual(['user_joined ada', 'user_left ada']);
    expect(atSecond.seen).toEqual(['user_joined ada']);
  });

  it('is left and joined again as one asks', async () => {
    const roomId = newRoom();
    const { seen } = await watcher(daemon, roomId);
    const now: Partial<All> = {};
    const Probe = probe(now);
    page(serviceAt(daemon), <Probe roomId={roomId} token={daemon.token('ada')} />);
    await shown(() => now.isReady === true);
    expect(now.room?.currentRoom).toBeNull();
    act(() => now.room?.joinRoom());
    await shown(() => now.room?.currentRoom === roomId);
    act(() => now.room?.leaveRoom());
    expect(now.room?.currentRoom).toBeNull();
    await until(() => seen.length === 2);
    expect(seen).toEqual(['user_joined ada', 'user_left ada']);
  });

  it('is one for two components, and open for as long as one of them is there', async () => {
    const roomId = newRoom();
    const { seen } = await watcher(daemon, roomId);
    const songs: unknown[] = [];
    let hideOne = () => undefined as unknown;
    function Part({ name }: { name: string }) {
      const { song, text, setText } = useSongDocument(roomId);
      songs.push(song);
      return (
        <textarea
          title={name}
          value={text}
          onChange={(event) => {
            setText(event.target.value);
          }}
        />
      );
    }
    function Page() {
      const [isWhole, setWhole] = useState(true);
      hideOne = () => {
        setWhole(false);
      };
      return (
        <>
          {isWhole && <Part name="one" />}
          <Part name="two" />
        </>
      );
    }
    const service = serviceAt(daemon);
    service.authenticate(daemon.token('ada'));
    page(service, <Page />);
    await until(() => seen.length === 1);
    act(() => {
      hideOne();
    });
    expect(new Set(songs.filter(Boolean)).size).toBe(1);
    expect(seen).toEqual(['user_joined ada']);
  });

  it('brings messages, and those who write need not wait', async () => {
    const roomId = newRoom();
    const [ada, bo]: Partial<All>[] = [{}, {}];
    const [Ada, Bo] = [probe(ada ?? {}), probe(bo ?? {})];
    page(serviceAt(daemon), <Ada roomId={roomId} token={daemon.token('ada')} autoJoinRoom />);
    page(serviceAt(daemon), <Bo roomId={roomId} token={daemon.token('bo')} autoJoinRoom />);
    await shown(() => ada?.room?.currentRoom === roomId && bo?.room?.currentRoom === roomId);
    await act(async () => ada?.sendMessage?.({ text: 'hello' }));
    await shown(() => (bo?.room?.messages.length ?? 0) > 0);
    expect([...(bo?.room?.participants ?? [])].sort()).toEqual(['ada', 'bo']);
    expect(bo?.room?.messages.at(-1)).toMatchObject({ userId: 'ada', data: { text: 'hello' } });
  });

  it('that refuses somebody says why', async () => {
    const now: Partial<All> = {};
    const Probe = probe(now);
    page(
      serviceAt(daemon),
      <Probe roomId="not a room!" token={daemon.token('ada')} autoJoinRoom />,
    );
    await shown(() => now.room?.error !== null && now.room?.error !== undefined);
    expect(now.room?.error?.code).toBe('invalid_room');
    expect(now.room?.currentRoom).toBeNull();
  });
});
