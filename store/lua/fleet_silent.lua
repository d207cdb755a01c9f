-- The second step of a look at a fleet, on each shard: how many are silent. Who falls silent after this is told anew,
-- so the flag goes before the count.
-- ARGV: fleet
-- Returns {silent, of these by their own word, oldest since in ms ('' = none), then up to 20 slugs, the oldest first}
local EXAMPLES = 20
local f = read_fleet(ARGV[1])
call('HDEL', f.key, 'looked')
if not f.ping_key or f.status == 'paused' then return {0, 0, ''} end

local oldest = call('ZRANGE', f.down, 0, EXAMPLES - 1, 'WITHSCORES')
local answer = {call('ZCARD', f.down), call('HLEN', f.causes), oldest[2] or ''}
for i = 1, #oldest, 2 do add(answer, oldest[i]) end
return answer
