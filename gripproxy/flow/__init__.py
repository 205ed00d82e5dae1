"""Stories: a coroutine for each request, hold, WebSocket, publish; ports, but no sockets."""
