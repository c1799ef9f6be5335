-- POST of TREADLE_BODY bytes.
dofile(os.getenv("TREADLE_WRK") .. "/report.lua")

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.body = string.rep("x", tonumber(os.getenv("TREADLE_BODY") or "1024"))
