// The origin: Node's own HTTP server with @fanoutio/serve-grip, which is written for Pushpin and
// knows nothing of this proxy. GRIP_URL says where the proxy takes what is published, PORT where to
// listen.

import { readFile } from "node:fs/promises";
import { STATUS_CODES, createServer } from "node:http";
import { HttpStreamFormat, WebSocketMessageFormat } from "@fanoutio/grip";
import { ServeGrip } from "@fanoutio/serve-grip";

const CHANNEL = "news";
const grip = new ServeGrip({ grip: process.env.GRIP_URL ?? "http://127.0.0.1:5561/" });
const publisher = grip.getPublisher();

const page = await readFile(new URL("index.html", import.meta.url));

const routes = {
  "GET /": (_, res) => {
    res.setHeader("Content-Type", "text/html; charset=utf-8");
    res.end(page);
  },

  // An HTTP stream of server-sent events.
  "GET /stream": (_, res) => {
    const instruct = res.grip.startInstruct();
    instruct.addChannel(CHANNEL);
    instruct.setHoldStream();
    instruct.setKeepAlive(":\n\n", 20);
    res.setHeader("Content-Type", "text/event-stream");
    res.end("event: held\ndata:\n\n");
  },

  // A WebSocket, as requests with events. What a client says, everybody hears, on either transport.
  "POST /socket": async (req, res) => {
    const socket = req.grip.wsContext;
    if (!socket) return refuse(res, 400);
    if (socket.isOpening()) {
      socket.accept();
      socket.subscribe(CHANNEL);
      socket.send("held");
    }
    while (socket.canRecv()) {
      const message = receive(socket);
      if (message === null) socket.close();
      else await publish(message);
    }
    res.end();
  },
};

// The next message; null when the client has closed, or has gone without that, which recv() throws.
function receive(socket) {
  try {
    return socket.recv();
  } catch {
    return null;
  }
}

async function publish(message) {
  const line = JSON.stringify(message);
  await publisher.publishFormats(CHANNEL, [
    new HttpStreamFormat(`data: ${line}\n\n`),
    new WebSocketMessageFormat(line),
  ]);
}

function refuse(res, status) {
  res.statusCode = status;
  res.end(`${STATUS_CODES[status]}\n`);
}

async function serve(req, res) {
  const { pathname } = new URL(req.url, "http://origin");
  const route = routes[`${req.method} ${pathname}`];
  if (!route) return refuse(res, 404);
  if (await grip.run(req, res)) await route(req, res);
}

createServer((req, res) => {
  res.on("finish", () => console.log(`origin: ${req.method} ${req.url} -> ${res.statusCode}`));
  serve(req, res).catch((error) => {
    console.error(error);
    if (!res.headersSent) refuse(res, 500);
  });
}).listen(Number(process.env.PORT ?? 8000), "127.0.0.1");
