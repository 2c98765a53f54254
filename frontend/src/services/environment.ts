/** What the page was built with; nothing where no bundler has been at work. */
export function environment(): Readonly<Record<string, unknown>> {
  const { env } = import.meta as { env?: Readonly<Record<string, unknown>> };
  return env ?? {};
}

/** Where the daemon is: `VITE_WEBSOCKET_URL`, else where the page comes from. */
export function serverUrl(): string {
  const url = environment().VITE_WEBSOCKET_URL;
  if (typeof url === 'string' && url !== '') return url;
  if (typeof window !== 'undefined') return window.location.origin;
  throw new Error('VITE_WEBSOCKET_URL is not set, and there is no page to ask');
}
