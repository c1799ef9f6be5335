// node's HTTP client as a peer; run by run.sh.
import { readFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";

const { DEMO, FILES, ROOT } = process.env;
const large = readFileSync(`${ROOT}/large.bin`);
let failures = 0;

function check(what, fine, about = "") {
  if (fine) return;
  failures++;
  console.error(`node client: ${what}`, about);
}

// One exchange: its response, with the body whole. `prepare` gets the request before it ends.
function exchange(url, options = {}, prepare = (req) => req.end()) {
  return new Promise((resolve, reject) => {
    const req = http.request(url, options, (res) => {
      const parts = [];
      res.on("data", (part) => parts.push(part));
      res.on("end", () => resolve({ req, res, body: Buffer.concat(parts) }));
      res.on("error", reject);
    });
    req.on("error", reject);
    req.setTimeout(60000, () => req.destroy(new Error(`time-out of ${url}`)));
    prepare(req);
  });
}
const post = (body, options = {}) =>
  exchange(`${DEMO}/echo`, { method: "POST", ...options }, (req) => req.end(body));

async function keepAlive() {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  let reused = 0;
  for (let i = 0; i < 20; i++) {
    const path = ["/hello", "/json", "/nowhere", "/hello"][i % 4];
    const { req, res } = await exchange(DEMO + path, { agent });
    check("status", res.statusCode === (path === "/nowhere" ? 404 : 200), res.statusCode);
    if (req.reusedSocket) reused++;
  }
  check("one connection", reused === 19, reused);
  agent.destroy();
}

async function methods() {
  let { res, body } = await exchange(`${FILES}/large.bin`, { method: "HEAD" });
  check("HEAD", res.headers["content-length"] === "20000000" && body.length === 0);
  ({ res } = await exchange(`${DEMO}/hello`, { method: "DELETE" }));
  check("405", res.statusCode === 405 && res.headers.allow === "GET, HEAD", res.headers);
  ({ res } = await exchange(`${DEMO}/echo`, { method: "OPTIONS" }));
  check("OPTIONS", res.statusCode === 204 && res.headers.allow === "POST", res.headers);
  ({ res } = await exchange(`${FILES}/sub`));
  check("redirect", res.statusCode === 301 && res.headers.location === "/sub/", res.headers);
  ({ res, body } = await exchange(`${FILES}/large.bin`, { headers: { Range: "bytes=5-14" } }));
  check("range", res.statusCode === 206 && body.equals(large.subarray(5, 15)), res.statusCode);
  ({ res, body } = await exchange(`${FILES}/large.bin`, {
    headers: { "If-None-Match": res.headers.etag },
  }));
  check("304", res.statusCode === 304 && body.length === 0, res.statusCode);
}

async function uploads() {
  const part = large.subarray(0, 3_000_000);
  check("upload", (await post(part)).body.equals(part));

  let continued = false;
  const expecting = await exchange(
    `${DEMO}/echo`,
    { method: "POST", headers: { Expect: "100-continue", "Content-Length": part.length } },
    (req) => {
      req.on("continue", () => {
        continued = true;
        req.end(part);
      });
      req.flushHeaders();
    },
  );
  check("100 Continue", continued && expecting.body.equals(part));

  const trailing = await exchange(
    `${DEMO}/echo`,
    { method: "POST", headers: { Trailer: "X-Checksum" } },
    (req) => {
      for (let i = 0; i < 30; i++) req.write(part.subarray(i * 100_000, (i + 1) * 100_000));
      req.addTrailers({ "X-Checksum": "1234" });
      req.end();
    },
  );
  check("chunked with a trailer", trailing.body.equals(part));

  const refused = await exchange(
    `${DEMO}/echo`,
    { method: "POST", headers: { Expect: "100-continue", "Content-Length": 12_000_000 } },
    (req) => {
      req.on("continue", () => check("100 for what is too large", false));
      req.flushHeaders();
      req.on("response", () => req.destroy());
    },
  ).catch((error) => ({ res: { statusCode: error.message } }));
  check("too large", [413, "aborted", "socket hang up"].includes(refused.res.statusCode),
    refused.res.statusCode);
}

async function downloads() {
  check("large file", (await exchange(`${FILES}/large.bin`)).body.equals(large));
  for (let i = 0; i < 20; i++) {
    await new Promise((resolve, reject) => {
      http.get(`${FILES}/large.bin`, (res) => {
        res.once("data", () => res.destroy());
        res.on("close", resolve);
      }).on("error", reject);
    });
  }
  await exchange(`${DEMO}/sleep?ms=10000`, { signal: AbortSignal.timeout(200) }).then(
    () => check("gives up", false),
    () => {},
  );
  check("goes on", (await exchange(`${DEMO}/hello`)).body.toString() === "Hello, World!");
}

async function concurrently() {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 50 });
  const one = async (i) => {
    const text = `${i};`.repeat(1000);
    check("concurrent echo", (await post(text, { agent })).body.toString() === text, i);
  };
  await Promise.all(Array.from({ length: 500 }, (_, i) => one(i)));
  agent.destroy();
}

// node's client does not pipeline; its sockets do.
async function pipelined() {
  const { hostname, port, host } = new URL(DEMO);
  const n = 200;
  const socket = net.connect(Number(port), hostname);
  const last = `GET /hello HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
  socket.write(`GET /hello HTTP/1.1\r\nHost: ${host}\r\n\r\n`.repeat(n - 1) + last);
  let all = "";
  for await (const part of socket) all += part;
  check("pipelined", all.split("Hello, World!").length === n + 1, all.length);
}

// Every fetch() of node is a client of its own, undici.
async function fetched() {
  const answers = await Promise.all(
    Array.from({ length: 40 }, () => fetch(`${DEMO}/hello`).then((r) => r.text())),
  );
  check("fetch", answers.every((text) => text === "Hello, World!"));
  const redirected = await fetch(`${FILES}/sub`);
  check("fetch follows", redirected.redirected && (await redirected.text()).includes("index of sub"));
  const echoed = await fetch(`${DEMO}/echo`, { method: "POST", body: large.subarray(0, 1_000_000) });
  check("fetch posts", Buffer.from(await echoed.arrayBuffer()).equals(large.subarray(0, 1_000_000)));
}

for (const part of [keepAlive, methods, uploads, downloads, concurrently, pipelined, fetched]) {
  await part().catch((error) => check(part.name, false, error));
}
process.exit(failures === 0 ? 0 : 1);
