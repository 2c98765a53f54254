import type { RoomMessage, UserId } from '../types';

/**
 * What this tab has said in a room since it joined.
 *
 * Among the messages that a room was missing are one's own, and the daemon does not say from which
 * tab a user's message came.
 */
export class Said {
  private readonly texts = new Map<object, string>();

  /** Remember a message that goes out. */
  add(payload: object): object {
    this.texts.set(payload, JSON.stringify((payload as { message?: unknown }).message));
    return payload;
  }

  delete(payload: object): void {
    this.texts.delete(payload);
  }

  clear(): void {
    this.texts.clear();
  }

  /** Those messages that this tab has not said; `arrived` is told of the others. */
  without(
    messages: readonly RoomMessage[],
    userId: UserId | null,
    arrived: (payload: object) => void,
  ): RoomMessage[] {
    const others = messages.filter(({ user_id, message }) => {
      if (user_id !== userId) return true;
      const text = JSON.stringify(message);
      for (const [payload, own] of this.texts) {
        if (own !== text) continue;
        this.texts.delete(payload);
        arrived(payload);
        return false;
      }
      return true;
    });
    this.texts.clear();
    return others;
  }
}
