-- Pauses a fleet on one shard: nobody alarms, and who was silent is so no more; a walk takes them back. On a paused
-- fleet nothing changes.
-- ARGV: fleet
-- Returns 1, or 0 when there is no such fleet. O(1) whatever the number of members.
local f = read_fleet(ARGV[1])
if not f.ping_key then return 0 end

if f.status ~= 'paused' then
  local was_silent, incident = call('EXISTS', f.down) == 1, call('HGET', f.key, 'incident')
  call('HSET', f.key, 'status', 'paused')
  if was_silent and call('EXISTS', f.returning) == 0 then  -- else the walk does it, when it is done with those
    call('RENAME', f.down, f.returning)
  end
  call('UNLINK', f.causes)
  due_from(f, NOW)
  if incident then call('HSET', f.key, 'paused_incident', incident) end  -- it may be resumed before anybody looks
  if was_silent then look_at_fleet(f) end
  changed(f.id)
end
return 1
