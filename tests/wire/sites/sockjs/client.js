// Connect to argv[2] by the transport argv[3], say something, and have the origin close.
import SockJS from "sockjs-client";

const socket = new SockJS(process.argv[2], null, { transports: process.argv[3] });
const told = { heard: [] };
socket.onopen = () => {
  told.transport = socket.transport;
  socket.send("one");
  socket.send('tw\u00f6 + "\u2028"');
};
socket.onmessage = (event) => {
  told.heard.push(event.data);
  if (told.heard.length === 2) socket.send("close");
};
socket.onclose = (event) => {
  told.closed = [event.code, event.reason];
  console.log(JSON.stringify(told));
};
