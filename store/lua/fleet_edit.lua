-- Changes a template on one shard; an empty value removes the field. No edit alarms by itself, and none touches members
-- here. After a longer span nobody is silent until the last ping that a node may write with the old one is a new span
-- old. A shorter one brings that moment nearer, and a walk brings members down to now + span: at once, and again when
-- the nodes have forgotten the old span.
-- ARGV: fleet, then field, value ...
-- Returns 1, or 0 when there is no such fleet. O(1) whatever the number of members.
local f = read_fleet(ARGV[1])
if not f.ping_key then return 0 end

local old_span = span(f)
for i = 2, #ARGV, 2 do
  if ARGV[i + 1] == '' then call('HDEL', f.key, ARGV[i]) else call('HSET', f.key, ARGV[i], ARGV[i + 1]) end
end
f = read_fleet(f.id)

local forgotten = NOW + CACHE_AGE
if span(f) > old_span then
  f.not_before = forgotten + span(f)  -- later than what an edit or a resume before this one can have set
elseif span(f) < old_span then
  f.not_before = math.min(f.not_before, forgotten + span(f))
  call('HSET', f.key, 'walk', text(forgotten))
end
if span(f) ~= old_span then
  call('HSET', f.key, 'edited', text(NOW), 'not_before', text(f.not_before))
  due_from(f, NOW)
end
call('HINCRBY', f.key, 'rev', 1)
changed(f.id)
return 1
