-- Forgets members that have been silent for long, at most 250: to be repeated until there are none. Of a paused fleet
-- nobody is silent.
-- ARGV: fleet, how long at least, ms
-- Returns the number of members forgotten.
local f = read_fleet(ARGV[1])
if not f.ping_key or f.status == 'paused' then return 0 end

local slugs = call('ZRANGEBYSCORE', f.down, '-inf', text(NOW - ARGV[2]), 'LIMIT', 0, CHUNK)
at_once('ZREM', f.down, slugs)
at_once('HDEL', f.causes, slugs)
if #slugs > 0 then look_at_fleet(f) end
return #slugs
