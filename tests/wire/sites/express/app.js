// An Express application whose views hold with @fanoutio/serve-grip and @fanoutio/eventstream, and
// which publishes with these and with the old libraries `grip` and `pubcontrol`. For tests.

import { EventStream } from "@fanoutio/eventstream";
import * as grip from "@fanoutio/grip";
import { ServeGrip } from "@fanoutio/serve-grip";
import express from "express";
import old from "grip";
import oldPublishing from "pubcontrol";

const { GRIP_URL, PORT } = process.env;
const serveGrip = new ServeGrip({ grip: GRIP_URL });
const publisher = serveGrip.getPublisher();
const events = new EventStream({ grip: GRIP_URL });

const app = express();
app.use(express.text({ type: "text/plain" }));

// Server-sent events. Before serve-grip: the library brings its own, which sets a prefix.
app.get("/events/:channel", events("{channel}"));

// The instruct of the old library, a body of its own type.
app.get("/old-poll", (_, res) => {
  const answer = new old.Response({ body: "nothing\n" });
  res.type("application/grip-instruct").send(old.createHoldResponse("old-poll", answer, 5));
});

app.use(serveGrip);

app.get("/signed", async (req, res) => {
  const token = req.get("grip-sig");
  const checked = [
    await grip.validateSig(token, process.env.GRIP_VERIFY_KEY, "pushpin"),
    await grip.validateSig(token, "another"),
  ];
  res.send(`proxied ${req.grip.isProxied}, valid ${checked.join(", ")}`);
});

app.get("/poll", (_, res) => {
  const instruct = res.grip.startInstruct();
  instruct.addChannel(["other", "poll"]);
  instruct.setHoldLongPoll(5);
  res.type("text/plain").send("nothing\n");
});

app.get("/unchanged", (_, res) => {
  const instruct = res.grip.startInstruct();
  instruct.addChannel(new grip.Channel("unchanged", "one"));
  instruct.setHoldLongPoll(5);
  res.status(304).end();
});

app.get("/stream", (_, res) => {
  const instruct = res.grip.startInstruct();
  instruct.addChannel("stream");
  instruct.setHoldStream();
  instruct.setKeepAlive("still\there\n", 1);
  instruct.meta = { user: 'al"ice' };
  res.type("text/plain").send("open\n");
});

app.get("/bytes", (_, res) => {
  const instruct = res.grip.startInstruct();
  instruct.addChannel("bytes");
  instruct.setHoldStream();
  instruct.setKeepAlive(new Uint8Array([0, 255]), 1);
  res.type("text/plain").send("open\n");
});

// A stream that is followed by another after a while, with what it has seen.
app.get("/linked", (_, res) => {
  const instruct = res.grip.startInstruct();
  instruct.addChannel(new grip.Channel("linked", "0"));
  instruct.setHoldStream();
  instruct.setNextLink("/linked-on?part=2", 1);
  res.type("text/plain").send("part 1\n");
});

app.get("/linked-on", (req, res) => {
  const instruct = res.grip.startInstruct();
  instruct.addChannel("linked");
  instruct.setHoldStream();
  res.type("text/plain").send(`part ${req.query.part} after ${req.get("grip-last")}\n`);
});

// Echo; some words are orders.
app.post("/socket", (req, res) => {
  const socket = req.grip.wsContext;
  if (socket === null) return res.status(400).send("no events\n");
  if (socket.isOpening()) {
    socket.accept();
    socket.subscribe("room");
    socket.meta.user = "bob";
    socket.send("welcome");
  }
  while (socket.canRecv()) {
    const message = socket.recv();
    if (message === null) {
      console.log("a socket was closed");
      socket.close();
    } else if (message === "who") socket.send(socket.meta.user ?? "nobody");
    else if (message === "forget") delete socket.meta.user;
    else if (message === "bytes") socket.sendBinary(new Uint8Array([0, 255]));
    else if (message === "detach") socket.detach();
    else if (message === "bye") socket.close(4000);
    else socket.send(message);
  }
  res.end();
});

// What publishes the body to everything that is held, each with another library or call.
app.post("/say", async (req, res) => {
  await publisher.publishHttpResponse("poll", req.body);
  await publisher.publishHttpStream("stream", req.body);
  await publisher.publishHttpStream("linked", req.body);
  await publisher.publishFormats("room", new grip.WebSocketMessageFormat(req.body));
  await events.publishEvent("news", { event: "message", data: req.body });
  res.status(204).end();
});

app.post("/say-bytes", async (_, res) => {
  const bytes = new Uint8Array([0, 255]);
  await publisher.publishFormats("stream", new grip.HttpStreamFormat(bytes));
  await publisher.publishFormats("room", new grip.WebSocketMessageFormat(bytes));
  res.status(204).end();
});

app.post("/close", async (_, res) => {
  await publisher.publishFormats("stream", new grip.HttpStreamFormat(null, true));
  await publisher.publishFormats("room", new grip.WebSocketMessageFormat(null, true, 4002));
  res.status(204).end();
});

app.post("/say-old", async (req, res) => {
  const config = { control_uri: GRIP_URL.replace(/\?.*/, ""), control_iss: "tests", key: "any" };
  const publishing = new old.GripPubControl(config);
  const told = (channel, format) =>
    new Promise((resolve, reject) => {
      const item = new oldPublishing.Item(format);
      publishing.publish(channel, item, (done, why) => (done ? resolve() : reject(why)));
    });
  await told("old-poll", new old.HttpResponseFormat({ body: req.body }));
  await told("old", new old.HttpStreamFormat(req.body));
  await told("old", new old.HttpStreamFormat(Buffer.from([0, 255])));
  res.status(204).end();
});

app.get("/old-stream", (_, res) => {
  res.set({ "Grip-Hold": "stream", "Grip-Channel": old.createGripChannelHeader("old") });
  res.type("text/plain").send("open\n");
});

app.listen(Number(PORT), "127.0.0.1");
