// A web proxy that knows nothing of WebSocket, as some offices have: it passes requests on to
// argv's URL, but asks for no upgrade. Prints its port.
'use strict';
const http = require('node:http');

const { hostname, port } = new URL(process.argv[2]);

const server = http.createServer((request, response) => {
  const { upgrade, connection, ...headers } = request.headers;
  const onward = http.request(
    { hostname, port, method: request.method, path: request.url, headers },
    (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    },
  );
  onward.on('error', () => response.destroy());
  response.on('close', () => onward.destroy());
  request.pipe(onward);
});

server.listen(0, '127.0.0.1', () => console.log(server.address().port));
