-- Changes settings; an empty value removes the field. An edit never alarms by itself: the new deadline is the later of
-- (clock start + new span) and min(old deadline, now + new span), and because nodes may know the old span for
-- CACHE_AGE, it is held in the hash for that long and put back by the timer settle:<id>. A new schedule counts from now.
-- ARGV: id, then field, value ...
-- Returns 1, or 0 when there is no such heartbeat. O(tags).
local h = read(ARGV[1])
if not h then return 0 end

local function timing()
  return h.schedule and table.concat({h.schedule, h.timezone or '', h.misses or 1, h.grace}, '\n') or span(h)
end

local old_timing, old_span, had_schedule = timing(), span(h), h.schedule
unindex(h)
for i = 2, #ARGV, 2 do
  set(h, ARGV[i], ARGV[i + 1] ~= '' and ARGV[i + 1] or nil)
end
for _, name in ipairs(NUMBERS) do h[name] = tonumber(h[name]) end
index(h)

if timing() ~= old_timing then
  remember_ping(h)
  set(h, 'edited', NOW)
  set(h, 'settle_at', NOW + CACHE_AGE)
  call('ZADD', TIMERS, text(h.settle_at), 'settle:' .. h.id)
  local unreckoned = h.slot_from
  if not h.schedule then
    for _, field in ipairs({'slot', 'due', 'slot_from'}) do set(h, field, nil) end
  else
    set(h, 'slot_from', NOW)  -- for the parked: what they owe is reckoned when they are put up
  end
  if h.deadline < INF then
    call('ZADD', DEADLINES, 'inf', h.id)
    if h.schedule or unreckoned then
      grant(h, NOW)
    else
      local old = math.floor(h.deadline)
      local start = had_schedule and h.pinged or old - old_span
      arm(h, math.max(start + span(h), math.min(old, NOW + span(h))) + 0.5)
    end
  end
end
if h.warn_late and h.deadline < INF then warn(h, h.deadline) end
set(h, 'rev', h.rev + 1)
log(h, 'edited', NOW)
changed(h.id)
return 1
