/** A TCP proxy on loopback in front of a daemon, for what networks do. */

import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

export class Proxy {
  readonly url: string;
  /** Let nobody through. */
  isDown = false;
  /** Refuse what asks for a WebSocket, as some firms' proxies do. */
  blocksWebSockets = false;
  /** How many connections were asked for. */
  count = 0;
  /** How many WebSockets were refused. */
  refused = 0;
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    port: number,
    private readonly target: number,
  ) {
    this.url = `http://127.0.0.1:${port}`;
    server.on('connection', (socket) => {
      this.take(socket);
    });
  }

  static async start(target: number): Promise<Proxy> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return new Proxy(server, address.port, target);
  }

  /** Break all connections, without a word. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.cut();
    await closed;
  }

  private take(client: Socket): void {
    this.count += 1;
    if (this.isDown) {
      client.destroy();
      return;
    }
    const upstream = connect(this.target, '127.0.0.1');
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.sockets.delete(socket);
        other.destroy();
      });
    }
    client.on('data', (data) => {
      if (this.blocksWebSockets && /\r\nupgrade: *websocket/i.test(data.toString('latin1'))) {
        this.refused += 1;
        client.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
      } else {
        upstream.write(data);
      }
    });
    upstream.on('data', (data) => {
      client.write(data);
    });
  }
}
