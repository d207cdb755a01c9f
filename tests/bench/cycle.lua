-- wrk's script: asks for the paths of a file in turn, with a method and a body, and prints what came back as one line of JSON.
-- An @ in a path becomes a score that grows with every cycle and every run.
local before, after, count, sent, start, score = {}, {}, 0, 0, os.time() * 1000, ""

function init(args)
  for path in io.lines(args[1]) do
    count = count + 1
    local request = wrk.format(args[2], path, nil, args[3] ~= "" and args[3] or nil)
    local at = request:find("@", 1, true)
    before[count] = at and request:sub(1, at - 1) or request
    after[count] = at and request:sub(at + 1)
  end
  math.randomseed(os.time())
  sent = math.random(count) - 1  -- or a short run among many would see the first of them only
end

function request()
  local i = sent % count + 1
  if i == 1 then score = string.format("%.0f", start + sent / count) end
  sent = sent + 1
  if after[i] then return before[i] .. score .. after[i] end
  return before[i]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"seconds": %.6f, "answered": %d, "refused": %d, "lost": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.duration / 1e6, summary.requests, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
