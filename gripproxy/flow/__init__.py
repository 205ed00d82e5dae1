"""Stories: one coroutine for each request, hold, WebSocket, publish. They know ports, not sockets."""
