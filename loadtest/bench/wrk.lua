-- Prints one line of JSON after wrk's own report. From the environment: BENCH_DEPTH requests at a
-- time on each connection; a POST of BENCH_POST bytes where that is set; with BENCH_VARY two requests
-- by turns, whose heads differ in length.
local depth = tonumber(os.getenv("BENCH_DEPTH") or "1")
local post = os.getenv("BENCH_POST")
local batch

if post then
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/octet-stream"
  wrk.body = string.rep("x", tonumber(post))
end

local other
local turn = false

function init(args)
  batch = string.rep(wrk.format(), depth)
  wrk.headers["X-Turn"] = "the other"
  other = string.rep(wrk.format(), depth)
end

if os.getenv("BENCH_VARY") then
  function request()
    turn = not turn
    return turn and batch or other
  end
elseif depth > 1 then
  function request()
    return batch
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '{"done":%d,"seconds":%.6f,"bytes":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\n',
    summary.requests, summary.duration / 1e6, summary.bytes, e.connect, e.read, e.write, e.status,
    e.timeout))
end
