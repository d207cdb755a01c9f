-- One chunk of the walk that a backward step of Redis' clock starts: nothing may lie further in the future than if it
-- had just happened. Deadlines come down to now + span; pings, failures, runs and since to now; timers with them.
-- The cursor is kept beside the pulse, so any sweeper goes on where another stopped.
-- ARGV: limit
-- Returns 1 while the walk is under way, else 0.
local cursor = call('HGET', PULSE, 'walk')
if not cursor then return 0 end
local chunk = call('ZSCAN', DEADLINES, cursor, 'COUNT', ARGV[1])

local function clamp_timer(timer, latest)
  if tonumber(call('ZSCORE', TIMERS, timer) or 0) > latest then call('ZADD', TIMERS, text(latest), timer) end
end

local function clamp(id)
  local h = read(id)
  if not h then return end
  local ahead = h.pinged > NOW
  remember_ping(h)
  for _, field in ipairs({'last_ping', 'last_fail', 'edited', 'excused_to'}) do
    if (h[field] or 0) > NOW then set(h, field, NOW) end
  end
  h.pinged = math.min(h.pinged, NOW)
  if h.since > NOW then become(h, h.status, NOW) end
  if h.settle_at then
    set(h, 'settle_at', math.min(h.settle_at, NOW + CACHE_AGE))
    clamp_timer('settle:' .. id, h.settle_at)
  end
  local longest = h.max_runtime and h.max_runtime * 1000 or math.max(h.grace, 60) * 1000
  for rid, started in pairs(h.runs) do
    if started > NOW then call('HSET', h.key, 'run:' .. rid, text(NOW)) end
    clamp_timer('overdue:' .. id .. ':' .. rid, NOW + longest)
  end
  if h.schedule and (ahead or (h.slot_from or 0) > NOW) then  -- what was reckoned from that moment is too late
    if h.deadline < INF then grant(h, NOW) else set(h, 'slot_from', NOW) end
  elseif h.schedule then
    return
  elseif h.deadline < INF and h.deadline > NOW + span(h) then
    grant(h, NOW)
  end
end

for i = 1, #chunk[2], 2 do pcall(clamp, chunk[2][i]) end
if chunk[1] == '0' then
  call('HDEL', PULSE, 'walk')
  call('ZUNIONSTORE', FLEETS, 1, FLEETS, 'WEIGHTS', 0)  -- all of them: sweep_fleet.lua walks over the members
  return 0
end
call('HSET', PULSE, 'walk', chunk[1])
return 1
