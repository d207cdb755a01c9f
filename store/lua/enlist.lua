-- Takes note that channels must be looked after for incidents, and only then acknowledges and deletes the entry that
-- said so. Who crashes after this is replaced by the chore. The channels of an incident are settled at the first look.
-- ARGV: entry id ('' = more pairs follow in another call), ms until a chore looks again, number of chores, then of each
--   chore its name and when it is due, ms ('' = it is done), then incident, channel ...
-- Returns the number of pairs.
local entry, again, chores = ARGV[1], ARGV[2], tonumber(ARGV[3])
for i = 4, 3 + 2 * chores, 2 do
  local name, due = ARGV[i], ARGV[i + 1]
  local kind, incident = string.match(name, '^([^:]*):?([^:]*)')  -- whatever stands there
  local state = call('HMGET', key('incident', incident), 'status', 'acknowledged_at', 'snoozed_until')
  if kind == 'look' then call('ZREM', UNSEEN, incident) end
  if due == '' or state[1] ~= 'open' or state[2] then
    call('ZREM', CHORES, name)
  elseif kind == 'tell' then
    -- A contact is noted before its step is carried out: not if that will be refused. And another step, or the next
    -- round, never puts it off.
    local is_early = is_waiting('escalate:' .. incident) or tonumber(state[3] or 0) > NOW
    if not is_early then call('ZADD', CHORES, 'LT', due, name) end
  else
    call('ZADD', CHORES, due, name)
    call('HSET', key('incident', incident), kind == 'window' and 'held' or 'due:' .. kind, due)
  end
end
for i = 4 + 2 * chores, #ARGV, 2 do
  local incident, delivery = ARGV[i], ARGV[i] .. ':' .. ARGV[i + 1]
  local status = call('HGET', key('incident', incident), 'status')
  if status then
    call('HSETNX', key('incident', incident), 'to:' .. ARGV[i + 1], '1')
    call('HSETNX', key('delivery', delivery), 'created', text(NOW))
    -- An end does not wait for the retry of the beginning, which may be hours away.
    call('ZADD', CHORES, status == 'open' and 'NX' or 'LT', text(NOW + again), 'retry:' .. delivery)
  end
end
if entry ~= '' then
  call('XACK', NOTIFICATIONS, 'notifier', entry)
  call('XDEL', NOTIFICATIONS, entry)
end
return (#ARGV - 3) / 2 - chores
