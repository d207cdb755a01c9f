-- Tells more channels about an incident that is still open, or those that know of it once more: a step of a policy, a
-- reminder, the next contact of a person. In one script with the chore that brings the next, so a crash repeats nothing.
-- ARGV: incident, chore, mark that the caller saw ('' = none), new mark (of a step: the position in the policy; of a
--   reminder: how many there were; of a contact: none), when the chore is due again in ms ('' = done), ms until a chore
--   looks at the deliveries, 0 = the first step, then channels
-- Returns 1; 0 = the incident is over, acknowledged or snoozed, or another was faster and the chore, handed out for the
--   step before this one, waits for its time: then nothing is told.
local incident, chore, seen, mark, due, again, step = unpack(ARGV, 1, 7)
local record = key('incident', incident)
local field = string.match(chore, '^remind:') and 'reminders' or 'position'
local kind = string.match(chore, '^%a+')
local state = call('HMGET', record, 'status', 'acknowledged_at', 'snoozed_until', field)
if state[1] ~= 'open' or state[2] or not call('ZSCORE', CHORES, chore) then
  call('ZREM', CHORES, chore)
  return 0
end
if state[3] and tonumber(state[3]) > NOW then
  call('ZADD', CHORES, state[3], chore)
  return 0
end
if kind ~= 'tell' and is_waiting(chore) then return 0 end
if mark ~= '' then
  if seen ~= (state[4] or '') then return 0 end
  call('HSET', record, field, mark)
end
for i = 8, #ARGV do
  local delivery = incident .. ':' .. ARGV[i]
  call('HINCRBY', record, 'to:' .. ARGV[i], 1)
  if call('HSETNX', key('delivery', delivery), 'created', text(NOW)) == 1 then
    call('HSET', key('delivery', delivery), 'step', step)
  end
  call('ZADD', CHORES, 'NX', text(NOW + again), 'retry:' .. delivery)
end
if due == '' then
  call('ZREM', CHORES, chore)
else
  call('ZADD', CHORES, due, chore)
  call('HSET', record, 'due:' .. kind, due)
end
return 1
