import { RealtimeError, type Token, type UserId } from '../types';
import { fieldsOf, isUserId } from './wire';

const GIVEN_WITHIN_MS = 30_000;

/** The token itself; rejects with a `RealtimeError` when none is to be had. */
export async function tokenOf(token: Token): Promise<string> {
  if (typeof token === 'string') return token;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const tooLate = new Promise<null>((resolve) => {
    timer = setTimeout(() => {
      resolve(null);
    }, GIVEN_WITHIN_MS);
  });
  let given: unknown;
  try {
    given = await Promise.race([token(), tooLate]);
  } catch {
    // What went wrong there is the page's own; it may have secrets in it.
    given = null;
  } finally {
    clearTimeout(timer);
  }
  if (typeof given === 'string' && given !== '') return given;
  throw new RealtimeError('unauthenticated', 'There is no token to sign in with');
}

/** Whom a token names that is not whom the one before it named; null if it is nobody else. */
export function newlyNamed(token: string | null, before: string | null): UserId | null {
  const named = namedIn(token);
  return named === namedIn(before) ? null : named;
}

/** Only the daemon can tell whether it is so; it may read another claim. */
function namedIn(token: string | null): UserId | null {
  try {
    const payload = (token?.split('.')[1] ?? '').replace(/-/g, '+').replace(/_/g, '/');
    const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
    const { user_id, sub } = fieldsOf(JSON.parse(new TextDecoder().decode(bytes)));
    const named = user_id ?? sub;
    return isUserId(named) ? named : null;
  } catch {
    return null;
  }
}
