// The suite's own origin, on loopback only: it would listen everywhere.
import { Server } from "node:http";

const listen = Server.prototype.listen;
Server.prototype.listen = function (port) {
  return listen.call(this, port, "127.0.0.1");
};
await import("http-cache-tests/server/server.mjs");
