-- Takes note that channels must be looked after for incidents, and only then acknowledges and deletes the entry that
-- said so. Who crashes after this is replaced by the chore. The channels of an incident are settled at the first look.
-- ARGV: entry id ('' = more pairs follow in another call), ms until a chore looks again, then incident, channel ...
-- Returns the number of pairs.
for i = 3, #ARGV, 2 do
  local incident, delivery = ARGV[i], ARGV[i] .. ':' .. ARGV[i + 1]
  if call('EXISTS', key('incident', incident)) == 1 then
    call('HSET', key('incident', incident), 'to:' .. ARGV[i + 1], '1')
    call('HSETNX', key('delivery', delivery), 'created', text(NOW))
    call('ZADD', CHORES, 'NX', text(NOW + ARGV[2]), 'retry:' .. delivery)
  end
end
if ARGV[1] ~= '' then
  call('XACK', NOTIFICATIONS, 'notifier', ARGV[1])
  call('XDEL', NOTIFICATIONS, ARGV[1])
end
return (#ARGV - 2) / 2
