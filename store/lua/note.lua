-- Keeps what somebody says about an incident, open or closed, in its hash: so it goes when the incident goes.
-- ARGV: incident, who, what, how many notes it may have, ms within which the same once more is a repeat
-- Returns the note's number, from 1; 0 = there is no such incident, -1 = it has as many as it may.
local incident, who, what, most, again = unpack(ARGV, 1, 5)
local record = key('incident', incident)
local state = call('HMGET', record, 'status', 'notes')
if not state[1] then return 0 end
local count = tonumber(state[2] or 0)
if count > 0 then  -- a request whose answer was lost comes twice, and so does a double click
  local at, rest = string.match(call('HGET', record, 'note:' .. text(count)), '^(%d+)\n(.*)$')
  if rest == who .. '\n' .. what and math.abs(NOW - at) < tonumber(again) then return count end
end
if count >= tonumber(most) then return -1 end
count = count + 1
call('HSET', record, 'notes', text(count), 'note:' .. text(count), text(NOW) .. '\n' .. who .. '\n' .. what)
return count
