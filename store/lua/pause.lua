-- Pauses: nothing alarms; runs and their timers go, an open incident is closed and told as paused.
-- Pausing again only sets the new end.
-- ARGV: id, end of the pause in ms ('' = until resumed)
-- Returns 1, or 0 when there is no such heartbeat.
local h, until_ = read(ARGV[1]), tonumber(ARGV[2])
if not h then return 0 end

if h.status ~= 'paused' then
  remember_ping(h)
  if h.status == 'down' then close(h, NOW, 'resolved', 'paused') end
  for rid in pairs(h.runs) do end_run(h, rid) end
  park(h)
  become(h, 'paused', NOW)
  log(h, 'paused', NOW)
  notify()
end
set(h, 'resume_at', until_)
if until_ then
  call('ZADD', TIMERS, text(until_), 'resume:' .. h.id)
else
  call('ZREM', TIMERS, 'resume:' .. h.id)
end
return 1
