-- Takes note that channels must be looked after for incidents, and only then acknowledges and deletes the entry that
-- said so. Who crashes after this is replaced by the chore. The channels of an incident are settled at the first look.
-- ARGV: entry id ('' = more pairs follow in another call), ms until a chore looks again, number of chores, then of each
--   chore its name and when it is due, ms ('' = it is done), then incident, channel ...
-- Returns the number of pairs.
local entry, again, chores = ARGV[1], ARGV[2], tonumber(ARGV[3])
for i = 4, 3 + 2 * chores, 2 do
  local name, due = ARGV[i], ARGV[i + 1]
  local kind, incident = string.match(name, '^(%a+):([^:]*)')
  local state = call('HMGET', key('incident', incident), 'status', 'acknowledged_at')
  if due == '' or state[1] ~= 'open' or state[2] then
    call('ZREM', CHORES, name)
  else
    call('ZADD', CHORES, due, name)
    call('HSET', key('incident', incident), kind == 'window' and 'held' or 'due:' .. kind, due)
  end
end
for i = 4 + 2 * chores, #ARGV, 2 do
  local incident, delivery = ARGV[i], ARGV[i] .. ':' .. ARGV[i + 1]
  if call('EXISTS', key('incident', incident)) == 1 then
    call('HSETNX', key('incident', incident), 'to:' .. ARGV[i + 1], '1')
    call('HSETNX', key('delivery', delivery), 'created', text(NOW))
    call('ZADD', CHORES, 'NX', text(NOW + again), 'retry:' .. delivery)
  end
end
if entry ~= '' then
  call('XACK', NOTIFICATIONS, 'notifier', entry)
  call('XDEL', NOTIFICATIONS, entry)
end
return (#ARGV - 3) / 2 - chores
