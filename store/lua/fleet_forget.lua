-- Forgets members, whatever their status; who pings again joins again.
-- ARGV: fleet, then slugs (at most 250)
-- Returns the number of members forgotten.
local f = read_fleet(ARGV[1])
if not f.ping_key or #ARGV < 2 then return 0 end

local slugs = {unpack(ARGV, 2)}
local silent = call('ZREM', f.down, unpack(slugs))
call('HDEL', f.causes, unpack(slugs))
if silent > 0 then look_at_fleet(f) end
return silent + call('ZREM', f.deadlines, unpack(slugs)) + call('ZREM', f.returning, unpack(slugs))
