-- Deletes a heartbeat. What it was stays readable under another key for messages that are still to be sent; a ping
-- cannot bring it back: the hot path writes with XX, the log with NOMKSTREAM, and arrive.lua finds no hash.
-- ARGV: id
-- Returns 1, or 0 when there is no such heartbeat. O(tags + runs).
local h = read(ARGV[1])
if not h then return 0 end

if h.status == 'down' then close(h, NOW, 'resolved', 'deleted') end
for rid in pairs(h.runs) do end_run(h, rid) end
call('ZREM', DEADLINES, h.id)
call('ZREM', TIMERS, 'resume:' .. h.id, 'settle:' .. h.id, 'late:' .. h.id)
unindex(h)
call('UNLINK', key('events', h.id), key('outputs', h.id), key('failures', h.id))
call('RENAME', h.key, key('deleted', h.id))
call('PEXPIRE', key('deleted', h.id), KEEP_DELETED)
changed(h.id)
notify()
return 1
