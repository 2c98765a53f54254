import { io } from 'socket.io-client';
import { expect, test } from 'vitest';

import { Daemon, until } from './daemon';

test('a daemon starts, takes a token, and is there again after it was killed', async () => {
  const daemon = await Daemon.start();
  try {
    for (const end of ['kill', 'stop'] as const) {
      const socket = io(daemon.url, {
        auth: { token: daemon.token('ada') },
        forceNew: true,
        reconnection: false,
      });
      let userId: unknown;
      socket.on('authenticated', (payload: { user_id: unknown }) => (userId = payload.user_id));
      await until(() => userId === 'ada', 'authenticated');
      await daemon[end]();
      await until(() => !socket.connected, 'the link is gone');
      socket.close();
      if (end === 'kill') await daemon.start();
    }
    expect(daemon.log).not.toContain('Traceback');
  } finally {
    await daemon.stop();
  }
});
