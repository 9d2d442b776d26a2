// node-media-server as origin of the tests: node origin.js RTMP_PORT HTTP_PORT (weirtest/node.py).
'use strict';

const NodeMediaServer = require('node-media-server');

new NodeMediaServer({
  logType: 2,
  rtmp: { port: Number(process.argv[2]), chunk_size: 4096, gop_cache: true, ping: 30, ping_timeout: 60 },
  http: { port: Number(process.argv[3]), allow_origin: '*' },
}).run();
