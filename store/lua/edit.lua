-- Changes settings; an empty value removes the field. An edit never alarms by itself: the new deadline is the later of
-- (clock start + new span) and min(old deadline, now + new span), and because nodes may know the old span for
-- CACHE_AGE, it is held in the hash for that long and put back by the timer settle:<id>.
-- ARGV: id, then field, value ...
-- Returns 1, or 0 when there is no such heartbeat. O(tags).
local h = read(ARGV[1])
if not h then return 0 end

local old_span = span(h)
unindex(h)
for i = 2, #ARGV, 2 do
  set(h, ARGV[i], ARGV[i + 1] ~= '' and ARGV[i + 1] or nil)
end
for _, name in ipairs(NUMBERS) do h[name] = tonumber(h[name]) end
index(h)

if span(h) ~= old_span then
  set(h, 'edited', NOW)
  set(h, 'settle_at', NOW + CACHE_AGE)
  call('ZADD', TIMERS, text(h.settle_at), 'settle:' .. h.id)
  if h.deadline < INF then
    local old = math.floor(h.deadline)
    local deadline = math.max(old - old_span + span(h), math.min(old, NOW + span(h)))
    remember_ping(h)
    call('ZADD', DEADLINES, 'inf', h.id)
    arm(h, deadline + 0.5)
  end
end
set(h, 'rev', h.rev + 1)
log(h, 'edited', NOW)
changed(h.id)
return 1
