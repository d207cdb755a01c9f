-- Keeps the leases of a telling that lasts.
-- ARGV: owner, lease in ms, channel, then incidents
-- Returns the number of leases that are still this owner's.
local owner, lease_ms, channel = ARGV[1], ARGV[2], ARGV[3]
local kept = 0
for i = 4, #ARGV do
  local delivery = ARGV[i] .. ':' .. channel
  if call('HGET', key('delivery', delivery), 'owner') == owner then
    kept = kept + 1
    call('HSET', key('delivery', delivery), 'leased_until', text(NOW + lease_ms))
    call('ZADD', CHORES, text(NOW + lease_ms), 'retry:' .. delivery)
  end
end
return kept
