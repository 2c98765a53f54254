/** The client of chordme-daemon. Hooks, the indicator and editors have entrances of their own. */

export * from './types';
export * as ot from './ot';
export { openSong, type SongOptions } from './song';
export { sharedSong, type SharedSong } from './roomSong';
export {
  WebSocketService,
  webSocketService,
  type Cursor,
  type WebSocketMessage,
  type WebSocketOptions,
} from './services/webSocketService';
export type { CollaborationOperation, SentOperation } from './services/flatOperations';
export type { RoomInfo } from './services/roomInfo';
export type { ServiceStatus } from './services/status';
export {
  createRealtime,
  realtimeMode,
  type Realtime,
  type RealtimeMode,
  type RealtimeOptions,
} from './realtime/createRealtime';
export type { FirestoreOptions } from './realtime/firestore';
export type {
  Mirrored,
  SongStore,
  StoredEdit,
  StoredMessage,
  StoredPresence,
  StoredSong,
} from './realtime/store';
