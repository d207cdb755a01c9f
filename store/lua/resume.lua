-- Ends a pause; on anything else nothing changes.
-- ARGV: id
-- Returns 1, or 0 when there is no such heartbeat.
local h = read(ARGV[1])
if not h then return 0 end

if h.status == 'paused' then resume(h) end
return 1
