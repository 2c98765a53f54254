import type { Participant, Permission, UserId } from '../types';

export interface RoomInfo {
  readonly id: string;
  readonly participantCount: number;
  readonly participants: readonly { readonly id: UserId; readonly name?: string }[];
  /** What one may do there; null before it was joined. */
  readonly permission: Permission | null;
}

/** Who is in a room, as ChordMe's listeners read it. */
export function roomInfo(
  id: string,
  participants: readonly Participant[],
  permission: Permission | null,
  participantCount = participants.length,
): RoomInfo {
  return {
    id,
    participantCount,
    participants: participants.map(({ user_id, name }) => ({
      id: user_id,
      ...(name !== undefined && { name }),
    })),
    permission,
  };
}
