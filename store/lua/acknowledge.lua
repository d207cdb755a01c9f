-- Somebody has seen it: nobody else is woken. Or, with an end, not before then (snooze).
-- ARGV: incident, who, end of the snooze in ms ('' = acknowledged for good)
-- Returns 1; 0 = the incident is not open.
local incident, who, until_ = ARGV[1], ARGV[2], ARGV[3]
local record = key('incident', incident)
local state = call('HMGET', record, 'status', 'heartbeat', 'fleet', 'acknowledged_at')
if state[1] ~= 'open' then return 0 end
if until_ ~= '' then
  call('HSET', record, 'snoozed_until', until_, 'snoozed_by', who, 'due:remind', until_)
  call('HDEL', record, 'acknowledged_at', 'acknowledged_by')
  call('ZADD', CHORES, until_, 'remind:' .. incident)
elseif not state[4] then
  call('HSET', record, 'acknowledged_at', text(NOW), 'acknowledged_by', who)
  call('HDEL', record, 'snoozed_until', 'snoozed_by')
  for _, chore in ipairs({'escalate:', 'remind:'}) do call('ZREM', CHORES, chore .. incident) end
  for _, field in ipairs(call('HKEYS', record)) do
    local channel = string.match(field, '^to:(.*)$')
    local delivery = channel and incident .. ':' .. channel
    if channel and call('HGET', key('delivery', delivery), 'acknowledges') == '1' then
      call('ZADD', CHORES, text(NOW), 'retry:' .. delivery)
    end
  end
end
local h = not state[3] and read(state[2])
if h then log(h, until_ ~= '' and 'snoozed' or 'acknowledged', NOW, 'by', who, 'until', until_) end
return 1
