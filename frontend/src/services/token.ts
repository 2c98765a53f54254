import { RealtimeError, type Token } from '../types';

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
