-- Deletes a fleet on one shard: the template first, so that no ping can bring a member back. On its home shard (where
-- its incident lives) what it was stays readable under another key, for messages that are still to be sent.
-- ARGV: fleet, 1 on its home shard
-- Returns 1, or 0 when there is no such fleet. Members are freed in the background.
local f = read_fleet(ARGV[1])
if not f.ping_key then return 0 end

local was_silent = call('EXISTS', f.down) == 1
if ARGV[2] == '1' then
  call('RENAME', f.key, key('deleted', f.id))
  call('PEXPIRE', key('deleted', f.id), KEEP_DELETED)
else
  call('UNLINK', f.key)
end
call('UNLINK', f.deadlines, f.down, f.returning, f.causes)
call('ZREM', FLEETS, f.id)
if was_silent then call('XADD', NOTIFICATIONS, '*', 'project', f.project, 'fleet', f.id) end
changed(f.id)
return 1
