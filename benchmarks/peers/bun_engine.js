// socket.io on Bun's own WebSocket server.
'use strict';

const { Server: Engine } = require('@socket.io/bun-engine');
const { Server } = require('socket.io');
const { port, serve, options } = require('./songs.js');

const io = new Server();
const engine = new Engine({ path: '/socket.io/', ...options });
io.bind(engine);
io.on('connection', serve);
Bun.serve({ port, hostname: '127.0.0.1', ...engine.handler() });
