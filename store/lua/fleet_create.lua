-- Creates a fleet's template on one shard.
-- ARGV: fleet, then field, value ... (ping_key, project, name, period, grace, room, tags joined by \n, ...)
-- Returns 1; 1 again for a repeat with the same ping key; 0 when the id is taken (draw another).
local id, fields = ARGV[1], {}
for i = 2, #ARGV, 2 do
  if ARGV[i + 1] ~= '' then fields[ARGV[i]] = ARGV[i + 1] end
end
local ping_key = call('HGET', key('fleet', id), 'ping_key')
if ping_key then return ping_key == fields.ping_key and 1 or 0 end
if call('EXISTS', key('deleted', id), key('heartbeat', id)) > 0 then return 0 end

for field, value in pairs(fields) do call('HSET', key('fleet', id), field, value) end
call('HSET', key('fleet', id), 'created', text(NOW), 'rev', '1', 'status', 'up')
call('ZADD', FLEETS, 'NX', 'inf', id)
changed(id)
return 1
