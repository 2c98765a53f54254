// socket.io on Node's http and ws.
'use strict';

const { createServer } = require('node:http');
const { Server } = require('socket.io');
const { port, serve, options } = require('./songs.js');

const server = createServer();
new Server(server, { ...options, serveClient: false }).on('connection', serve);
server.listen(port, '127.0.0.1', 1024);
