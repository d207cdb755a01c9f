-- Ends a fleet's pause on one shard: the clock starts anew for everyone, so nobody is silent before a span is over, and
-- then whoever did not ping meanwhile is. On anything else nothing changes.
-- ARGV: fleet
-- Returns 1, or 0 when there is no such fleet. O(1) whatever the number of members.
local f = read_fleet(ARGV[1])
if not f.ping_key then return 0 end

if f.status == 'paused' then
  call('HSET', f.key, 'status', 'up', 'not_before', text(math.max(f.not_before, NOW + span(f))))
  due_from(f, NOW)
  if call('EXISTS', f.down) == 1 then look_at_fleet(f) end  -- they failed between two pauses, and no walk came by
  changed(f.id)
end
return 1
