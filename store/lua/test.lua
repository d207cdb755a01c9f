-- Asks for a test message on a channel: an incident that is none, told like any other.
-- ARGV: incident id, project, channel
-- Returns 1.
local incident, delivery = ARGV[1], ARGV[1] .. ':' .. ARGV[3]
call('HSET', key('incident', incident), 'project', ARGV[2], 'status', 'test', 'cause', 'test',
     'opened_at', text(NOW), 'to:' .. ARGV[3], '1')
call('PEXPIRE', key('incident', incident), DAY)
call('HSET', key('delivery', delivery), 'created', text(NOW))
call('ZADD', CHORES, text(NOW + 30000), 'retry:' .. delivery)
call('XADD', NOTIFICATIONS, '*', 'deliveries', delivery)
return 1
