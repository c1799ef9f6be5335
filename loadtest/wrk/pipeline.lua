-- TREADLE_DEPTH requests at a time on each connection. wrk counts every answer, but times whole
-- batches: before it reports, it adds samples for the time that it takes to be lost, which it reckons
-- by answers. Its percentiles are of no batch then, and some are 0.
dofile(os.getenv("TREADLE_WRK") .. "/report.lua")
percentiles = false

local batch

function init(args)
  local one = wrk.format("GET")
  batch = string.rep(one, tonumber(os.getenv("TREADLE_DEPTH") or "16"))
end

function request()
  return batch
end
