-- Tells once more what a channel was told last, or could not be told.
-- ARGV: delivery (<incident>:<channel>)
-- Returns 1; 0 = there is no such delivery, or its incident is gone.
local incident, channel = string.match(ARGV[1], '^(.-):(.*)$')
local delivery = key('delivery', ARGV[1])
if call('EXISTS', delivery) == 0 or call('EXISTS', key('incident', incident)) == 0 then return 0 end
local told, owner = unpack(call('HMGET', delivery, 'told', 'owner'))
if told or owner then call('HSET', delivery, 'heard', '1') end  -- it is owed the end, whoever brings that about
call('HDEL', delivery, 'told', 'told_count', 'told_times', 'given_up', 'word', 'next')
call('ZREM', DEAD, ARGV[1])
call('ZADD', CHORES, text(NOW), 'retry:' .. ARGV[1])
return 1
