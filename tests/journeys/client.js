// Real socket.io-clients, told what to do by JSON lines on stdin; what they hear goes to stdout,
// a JSON line each: {client, kind, name, args}. `kind` is "event" for what the server emits,
// "answer" for an acknowledgement, "state" for what the client says of itself.
// Binary is written as Buffer's own JSON, {type: "Buffer", data: [1, 2]}, both ways.
'use strict';
const readline = require('node:readline');
const { io } = require('socket.io-client');

const sockets = new Map();

function say(client, kind, name, ...args) {
  process.stdout.write(JSON.stringify({ client, kind, name, args }) + '\n');
}

const commands = {
  open({ client, url, options }) {
    const socket = io(url, { forceNew: true, reconnectionDelay: 50, ...options });
    sockets.set(client, socket);
    socket.io.on('open', () => {
      const { engine } = socket.io;
      say(client, 'state', 'open', engine.transport.name);
      engine.on('upgrade', (transport) => say(client, 'state', 'upgrade', transport.name));
    });
    socket.on('connect', () => {
      say(client, 'state', 'connect', { id: socket.id, recovered: socket.recovered });
    });
    socket.on('connect_error', (error) => {
      const status = error.context?.status ?? error.description;
      const body = error.context?.responseText;
      say(client, 'state', 'connect_error', { message: error.message, data: error.data, status, body });
    });
    socket.on('disconnect', (reason) => {
      say(client, 'state', 'disconnect', { reason, active: socket.active });
    });
    // A question of the server is answered with its own arguments.
    socket.onAny((name, ...args) => {
      const answer = typeof args.at(-1) === 'function' ? args.pop() : null;
      say(client, 'event', name, ...args);
      answer?.(...args);
    });
  },

  emit({ client, name, args }) {
    sockets.get(client).emit(name, ...args);
  },

  ask({ client, name, args, question }) {
    sockets.get(client).emit(name, ...args, (...answer) => say(client, 'answer', question, ...answer));
  },

  // Stop reading; what is sent goes on.
  deafen({ client }) {
    sockets.get(client).io.engine.transport.ws._socket.pause();
  },

  // Say when all that was emitted has left.
  flush({ client }) {
    const { engine } = sockets.get(client).io;
    if (engine.writeBuffer.length === 0) say(client, 'state', 'flushed', null);
    else engine.once('drain', () => setImmediate(commands.flush, { client }));
  },

  // Gone without a goodbye, as when a cable is pulled; the client comes back by itself.
  drop({ client }) {
    sockets.get(client).io.engine.transport.ws._socket.destroy();
  },

  close({ client }) {
    sockets.get(client).close();
  },
};

function revive(_, value) {
  return value?.type === 'Buffer' ? Buffer.from(value.data) : value;
}

readline
  .createInterface({ input: process.stdin })
  .on('line', (line) => {
    const command = JSON.parse(line, revive);
    commands[command.do](command);
  })
  .on('close', () => process.exit(0));
