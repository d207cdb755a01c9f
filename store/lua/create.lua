-- Creates a heartbeat: pending, parked, indexed, with a log.
-- ARGV: id, then field, value ... (token, project, name, sort, period, grace, tags joined by \n, ...)
-- Returns 1; 2 for a repeat with the same token and slug; 0 when the id is taken (draw another). O(tags).
local id = ARGV[1]
local token, slug = unpack(call('HMGET', key('heartbeat', id), 'token', 'slug'))
local fields = {}
for i = 2, #ARGV, 2 do fields[ARGV[i]] = ARGV[i + 1] end
if token then return token == fields.token and (slug or '') == (fields.slug or '') and 2 or 0 end

local h = {id = id, key = key('heartbeat', id)}
for field, value in pairs(fields) do
  if value ~= '' then set(h, field, value) end
end
set(h, 'created', NOW)
set(h, 'rev', 1)
set(h, 'status', 'pending')
set(h, 'since', NOW)
call('ZADD', DEADLINES, 'inf', id)
index(h)
call('XADD', key('events', id), '*', 'kind', 'created', 'at', text(NOW))
changed(id)
return 1
