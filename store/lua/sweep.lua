-- Takes passed deadlines, and nothing is lost in between: park, down, incident dated at the deadline, and one
-- notification per project, in one script. Any number of sweepers may run; none leads.
--
-- Judges only what fell due before the newest pulse. A heartbeat whose ping may have fallen into a window in which we
-- were deaf is excused instead: it is granted one span from the end of that window (or from its last edit, if later),
-- at most once per window and three times in a row without a ping. One with a schedule whose grant nobody has reckoned
-- yet is put off, so that it does not block the head, and handed out: slot.lua takes the answer.
--
-- ARGV: limit
-- Returns {deadlines taken, next due moment in ms over all zsets ('' = none), now, corrupt records put off, 1 if the
--   clamp walk is under way, then id, rev, from, ... of those whose slots are to be reckoned}
-- Cost: about 35 us per incident; the limit of 100 keeps a call under 5 ms.
local EARLY = 60         -- s, where the heartbeat does not say (rules/limits.py)
local RECKON_AGAIN = 5000  -- ms until a grant that nobody has reckoned is handed out again
local CORRUPT = 3600000  -- ms that a record which cannot be judged is put off, so that it stops nobody else
local gate_at = gate()
local due = call('ZRANGEBYSCORE', DEADLINES, '-inf', '(' .. text(gate_at), 'LIMIT', 0, ARGV[1])

-- The start of the time in which the ping that is missing could have come.
local function listening_from(h)
  if h.schedule then return (h.slot or h.deadline) - (h.early or EARLY) * 1000 end
  local period, grace = h.period * 1000, h.grace * 1000
  return h.deadline - grace - ((h.misses or 1) - 1) * period - math.min(period, math.max(grace, 300000))
end

local unreckoned = {}

local function judge(id)
  local h = read(id)
  if not h then return call('ZREM', DEADLINES, id) end
  if h.slot_from then
    for _, value in ipairs({id, text(h.rev), text(h.slot_from)}) do unreckoned[#unreckoned + 1] = value end
    return arm(h, NOW + RECKON_AGAIN + 0.5)
  end
  local excuses = h.deadline % 1 > 0 and h.excuses or 0  -- a deadline with a ping behind it starts the count anew
  local heard_again = deaf(listening_from(h), h.deadline)
  if heard_again and heard_again > (h.excused_to or 0) and excuses < 3 then
    remember_ping(h)
    set(h, 'excuses', excuses + 1)
    set(h, 'excused_to', heard_again)
    log(h, 'excused', math.floor(h.deadline), 'until', text(heard_again))
    grant(h, math.max(heard_again, h.edited or 0))
  else
    open(h, h.deadline, 'silence')
  end
end

local corrupt = 0
for _, id in ipairs(due) do
  if not pcall(judge, id) then
    corrupt = corrupt + 1
    call('ZADD', DEADLINES, text(NOW + CORRUPT), id)
  end
end
notify()

local next_due = INF
for _, zset in ipairs({DEADLINES, TIMERS, CHORES, FLEETS, UNSEEN}) do
  local first = call('ZRANGE', zset, 0, 0, 'WITHSCORES')
  next_due = math.min(next_due, tonumber(first[2] or INF))
end
return {#due, next_due < INF and text(next_due) or '', text(NOW), corrupt, call('HEXISTS', PULSE, 'walk'),
        unpack(unreckoned)}
