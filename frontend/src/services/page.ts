import type { Unsubscribe } from '../types';

/**
 * Be told when the page may have been away: the network is back, the tab is looked at again, the
 * machine woke up, or the page came out of the browser's memory.
 */
export function whenPageReturns(tell: () => void): Unsubscribe {
  if (typeof window === 'undefined' || typeof document === 'undefined') return () => undefined;
  const whenVisible = (): void => {
    if (document.visibilityState === 'visible') tell();
  };
  window.addEventListener('online', tell);
  window.addEventListener('pageshow', whenVisible);
  document.addEventListener('visibilitychange', whenVisible);
  return () => {
    window.removeEventListener('online', tell);
    window.removeEventListener('pageshow', whenVisible);
    document.removeEventListener('visibilitychange', whenVisible);
  };
}
