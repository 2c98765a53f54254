/**
 * Who is in a room of a store.
 *
 * Each client keeps a document of its own there, and changes it now and then. Clocks are not
 * compared: who has changed nothing for a while, as seen from here, is gone.
 */

import type { CursorPosition, Participant, RoomUser, UserId } from '../types';
import type { SongStore, StoredPresence } from './store';
import type { StoreUser } from './storeRooms';

const BEAT_EVERY_MS = 20_000;
const GONE_AFTER_MS = 50_000;
const CURSOR_EVERY_MS = 1000;

interface Seen {
  readonly presence: StoredPresence;
  readonly changedAt: number;
}

export class Presences {
  private readonly seen = new Map<string, Seen>();
  private present = new Map<UserId, Participant>();
  private beat = 0;
  private cursor: StoredPresence['cursor'] = null;
  private beatTimer: ReturnType<typeof setInterval> | undefined;
  private cursorTimer: ReturnType<typeof setTimeout> | undefined;
  private unwatch: () => void = () => undefined;

  constructor(
    private readonly roomId: string,
    private readonly store: SongStore,
    private readonly self: StoreUser,
    private readonly user: RoomUser,
    private readonly isPresent: boolean,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.present = this.count();
  }

  open(): void {
    this.unwatch = this.store.watchPresence(this.roomId, (all) => {
      this.hear(all);
    });
    this.beatTimer = setInterval(() => {
      this.write();
      this.compare();
    }, BEAT_EVERY_MS);
    this.write();
  }

  close(): void {
    clearInterval(this.beatTimer);
    clearTimeout(this.cursorTimer);
    this.unwatch();
    if (!this.isPresent) return;
    this.store.setPresence(this.roomId, this.self.clientId, null).catch(() => undefined);
  }

  participants(): { participant_count: number; participants: Participant[] } {
    const participants = [...this.present.values()];
    return { participant_count: participants.length, participants };
  }

  moveCursor(position: CursorPosition, revision?: number): void {
    this.cursor = { position, revision: revision ?? null };
    this.cursorTimer ??= setTimeout(() => {
      this.cursorTimer = undefined;
      this.write();
    }, CURSOR_EVERY_MS);
  }

  private write(): void {
    if (!this.isPresent) return;
    this.beat += 1;
    const { clientId: client_id, userId: user_id, name } = this.self;
    const presence = { client_id, user_id, name, beat: this.beat, cursor: this.cursor };
    // One that is lost is made good by the next.
    this.store.setPresence(this.roomId, client_id, presence).catch(() => undefined);
  }

  private hear(all: readonly StoredPresence[]): void {
    const there = new Set(all.map((presence) => presence.client_id));
    for (const clientId of this.seen.keys()) if (!there.has(clientId)) this.seen.delete(clientId);
    for (const presence of all) {
      const before = this.seen.get(presence.client_id)?.presence;
      if (before?.beat === presence.beat) continue;
      this.seen.set(presence.client_id, { presence, changedAt: this.now() });
    }
    this.compare();
    for (const { presence } of this.seen.values()) this.tellCursor(presence);
  }

  private told = new Map<string, string>();

  private tellCursor({ client_id, user_id, cursor }: StoredPresence): void {
    const text = JSON.stringify(cursor);
    if (cursor === null || client_id === this.self.clientId) return;
    if (this.told.get(client_id) === text) return;
    this.told.set(client_id, text);
    const { position, revision } = cursor;
    this.user.event('cursor_moved', {
      ...{ room_id: this.roomId, user_id, client_id, position, timestamp: Date.now() },
      ...(revision !== null && { revision }),
    });
  }

  private compare(): void {
    const before = this.present;
    this.present = this.count();
    const participant_count = this.present.size;
    for (const [user_id, { name }] of this.present) {
      if (before.has(user_id)) continue;
      const presence = { room_id: this.roomId, user_id, participant_count };
      this.user.event('user_joined', { ...presence, ...(name !== undefined && { name }) });
    }
    for (const user_id of before.keys()) {
      if (this.present.has(user_id)) continue;
      this.user.event('user_left', { room_id: this.roomId, user_id, participant_count });
    }
  }

  /** Each user once, with how many tabs; oneself among them. */
  private count(): Map<UserId, Participant> {
    const users = new Map<UserId, Participant>();
    const add = (user_id: UserId, name: string | null): void => {
      const connections = (users.get(user_id)?.connections ?? 0) + 1;
      users.set(user_id, { user_id, ...(name !== null && { name }), connections });
    };
    if (this.isPresent) add(this.self.userId, this.self.name);
    for (const [clientId, { presence, changedAt }] of this.seen) {
      const isGone = this.now() - changedAt > GONE_AFTER_MS;
      if (clientId !== this.self.clientId && !isGone) add(presence.user_id, presence.name);
    }
    return users;
  }
}
