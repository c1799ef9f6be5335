-- TREADLE_DEPTH requests at a time on each connection. wrk counts every answer; a latency is that
-- of a whole batch.
dofile(os.getenv("TREADLE_WRK") .. "/report.lua")

local batch

function init(args)
  local one = wrk.format("GET")
  batch = string.rep(one, tonumber(os.getenv("TREADLE_DEPTH") or "16"))
end

function request()
  return batch
end
