-- The first step of a look at a fleet, on its home shard: the number of this look. Who counts the silent after a later
-- number was given knows no less, so an older look must not overwrite what a newer one found (fleet_incident.lua).
-- ARGV: fleet
-- Returns the number; 0 = nobody remembers such a fleet.
for _, kind in ipairs({'fleet', 'deleted'}) do
  if call('HEXISTS', key(kind, ARGV[1]), 'ping_key') == 1 then
    return call('HINCRBY', key(kind, ARGV[1]), 'generation', 1)
  end
end
return 0
