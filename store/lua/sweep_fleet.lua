-- Takes passed deadlines of one fleet's members: each is excused (sweep.lua says when), or silent and told, in one
-- script. Before that comes a chunk of the fleet's walk, if one is pending. Of the fleets that have something to do a
-- random one is taken: a million members that fall silent at once must not keep the others waiting.
--
-- The walk follows a pause, a shorter span and a backward step of the clock: who is returning gets a granted deadline,
-- and nothing may lie further in the future than if it had just happened. Nodes may know the old span (or clock) for
-- CACHE_AGE, so it ends with the first pass that finds nothing at `walk` or later.
--
-- ARGV: limit (members), a random whole number
-- Returns {fleet ('' = none had anything to do), members walked or taken, of these now silent, corrupt templates put
--   off, next due moment in ms over all fleets ('' = none), now}
-- Cost: about 4 us per member; the limit of 250 keeps a call under 5 ms.
local LIMIT = tonumber(ARGV[1])
local CORRUPT = 3600000   -- ms that a template which cannot be read is put off
local LISTENING = 300000  -- ms; so long before a deadline, at least, a ping may come early (sweep.lua)
local EXCUSES = 3         -- in a row without a ping
local gate_at = gate()

local function start_walk_after_step(f)
  f.walk = NOW + CACHE_AGE
  f.edited = math.min(f.edited, NOW)
  f.not_before = math.min(f.not_before, NOW + CACHE_AGE + span(f))
  call('HSET', f.key, 'walk', text(f.walk), 'edited', text(f.edited), 'not_before', text(f.not_before))
end

local function walk(f)
  if f.status == 'paused' and call('EXISTS', f.down) == 1 and call('EXISTS', f.returning) == 0 then
    call('RENAME', f.down, f.returning)
  end
  local latest, deadlines, since = NOW + span(f), {}, {}
  local returning = call('ZRANGE', f.returning, 0, LIMIT - 1)
  for _, slug in ipairs(returning) do add(deadlines, score(granted(latest, 0)), slug) end
  local above, down = {}, {}
  if f.walk then
    local beyond = '(' .. text(latest + AHEAD)
    above = call('ZREVRANGEBYSCORE', f.deadlines, 'inf', beyond, 'WITHSCORES', 'LIMIT', 0, LIMIT - #returning)
    for i = 1, #above, 2 do add(deadlines, score(granted(latest, excuses(above[i + 1]))), above[i]) end
    local rest = LIMIT - #returning - #above / 2
    down = call('ZREVRANGEBYSCORE', f.down, 'inf', '(' .. text(NOW + AHEAD), 'LIMIT', 0, rest)
    for _, slug in ipairs(down) do add(since, text(NOW), slug) end
  end
  at_once('ZREM', f.returning, returning)
  at_once('ZADD', f.deadlines, deadlines)
  at_once('ZADD', f.down, since)
  local walked = #returning + #above / 2 + #down
  if f.walk and f.walk <= NOW and walked < LIMIT then
    call('HDEL', f.key, 'walk')
    f.walk = nil
  end
  return walked
end

local function judge(f, limit)
  local due = call('ZRANGEBYSCORE', f.deadlines, '-inf', '(' .. text(gate_at), 'WITHSCORES', 'LIMIT', 0, limit)
  local period, grace = f.period * 1000, f.grace * 1000
  local listening = grace + ((f.misses or 1) - 1) * period + math.min(period, math.max(grace, LISTENING))
  local windows, newest = #due > 0 and call('ZRANGE', DEAF, 0, -1, 'WITHSCORES') or {}, -1
  local excused, silent, gone = {}, {}, {}
  for i = 1, #due, 2 do
    local slug, deadline = due[i], tonumber(due[i + 1])
    local until_ = math.max(deadline, f.not_before)
    -- Windows lie apart and in order, as the deadlines do: only the last that began by then can count.
    while windows[newest + 2] and tonumber(windows[newest + 2]) <= until_ do newest = newest + 2 end
    local heard_again = tonumber(windows[newest + 1] or -INF)
    local excused_before = excuses(deadline)
    -- A window that has excused lies before the span that it granted, so only a longer edit makes one count twice.
    if heard_again >= deadline - listening and excused_before < EXCUSES then
      add(excused, score(granted(math.max(heard_again, f.edited) + span(f), excused_before + 1)), slug)
    else
      add(silent, text(math.floor(until_)), slug)
      add(gone, slug)
    end
  end
  at_once('ZADD', f.deadlines, excused)
  at_once('ZREM', f.deadlines, gone)
  at_once('ZADD', f.down, silent)
  if #gone > 0 then look_at_fleet(f) end
  return #due / 2, #gone
end

-- Returns when there is something to do again, members walked or taken, of these silent.
local function work(f, due)
  if due == 0 then start_walk_after_step(f) end
  local taken, silent, judged = walk(f), 0, 0
  local walking = taken == LIMIT or f.status == 'paused' and call('EXISTS', f.down) == 1
  if f.status ~= 'paused' and f.not_before < gate_at and not walking then
    judged, silent = judge(f, LIMIT - taken)
  end
  local again = walking and gate_at - 1 or f.walk or INF
  if f.status ~= 'paused' then
    local first = call('ZRANGE', f.deadlines, 0, 0, 'WITHSCORES')
    again = math.min(again, math.max(tonumber(first[2] or INF), f.not_before))
  end
  return again, taken + judged, silent
end

local picked, taken, silent, corrupt = '', 0, 0, 0
local waiting = call('ZCOUNT', FLEETS, '-inf', '(' .. text(gate_at))
if waiting > 0 then
  local range = {'-inf', '(' .. text(gate_at), 'WITHSCORES', 'LIMIT', ARGV[2] % waiting, 1}
  local due = call('ZRANGEBYSCORE', FLEETS, unpack(range))
  picked = due[1]
  local f = read_fleet(picked)
  if f.ping_key then
    local fine, again
    fine, again, taken, silent = pcall(work, f, tonumber(due[2]))
    if not fine then again, taken, silent, corrupt = NOW + CORRUPT, 0, 0, 1 end
    call('ZADD', FLEETS, again < INF and text(math.floor(again)) or 'inf', picked)
  else
    call('UNLINK', f.deadlines, f.down, f.returning, f.causes)
    call('ZREM', FLEETS, picked)
  end
end
local first = call('ZRANGE', FLEETS, 0, 0, 'WITHSCORES')
local next_due = tonumber(first[2] or INF)
return {picked, taken, silent, corrupt, next_due < INF and text(next_due) or '', text(NOW)}
