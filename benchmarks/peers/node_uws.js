// socket.io on Node and uWebSockets.js, which is installed from where its author keeps it.
'use strict';

const { App } = require('uWebSockets.js');
const { Server } = require('socket.io');
const { port, serve, options } = require('./songs.js');

const app = App();
const io = new Server(options);
io.attachApp(app);
io.on('connection', serve);
app.listen('127.0.0.1', port, () => {});
