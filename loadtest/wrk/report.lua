-- One line for run.sh after wrk's own report: what it measured, in base units; a percentile that wrk
-- cannot tell is 0.
percentiles = true

function done(summary, latency, requests)
  local e = summary.errors
  local at = function(p) return percentiles and latency:percentile(p) or 0 end
  io.write(string.format("RESULT requests=%d us=%d p50=%d p99=%d max=%d errors=%d\n",
    summary.requests, summary.duration, at(50), at(99), latency.max,
    e.connect + e.read + e.write + e.status + e.timeout))
end
