-- Judges the pings of members that are not plainly up: unknown slugs, the silent, signals.
--
-- A repeated, late or reordered batch changes nothing that it must not: who failed returns only by a later ping; who
-- fell silent also by one that came in time and was written late; a failure older than the last ping is none. Nobody is
-- put up with a deadline that has passed. Items of one member keep their order.
--
-- ARGV: fleet, sure ('1': the node has just measured its clock, take `at` as it is), then 4 values per item, at most
--   250: slug, at (ms, Redis' clock), signal (plain|success|start: a ping; fail; log|ignored: nothing), exit
-- Returns one text per item: up (the next ping needs no script), parked (accepted; the next one may need a script: the
--   fleet is paused, or the member silent), full (no room for another member), unknown (no such fleet), clock (`at` is
--   more than 1 s from TIME: measure and repeat), or error: ...
-- Cost: about 5 us per item, 8 for one that returns.
local SURE = ARGV[2] == '1'
local ZSETS = {'deadlines', 'down', 'returning'}
local f = read_fleet(ARGV[1])
local slugs, members, answers = {}, {}, {}

for i = 3, #ARGV, 4 do
  local slug = ARGV[i]
  if not members[slug] then
    members[slug] = {was = {}}
    slugs[#slugs + 1] = slug
  end
end

local function fill(kind, command)
  local values = call(command, f[kind], unpack(slugs))
  for i, slug in ipairs(slugs) do
    local m, value = members[slug], values[i]
    if value then
      if command == 'ZMSCORE' then value = tonumber(value) end
      m[kind], m.was[kind] = value, value
    end
  end
end

local room = f.room or 0
if f.ping_key then
  for _, zset in ipairs(ZSETS) do
    local count = call('ZCARD', f[zset])
    if count > 0 and #slugs > 0 then fill(zset, 'ZMSCORE') end
    room = room - count
  end
  if #slugs > 0 and call('EXISTS', f.causes) == 1 then fill('causes', 'HMGET') end
end

local function is_known(m)
  return m.deadlines or m.down or m.returning
end

local function place(m, deadline, since, cause)
  if not is_known(m) then room = room - 1 end
  m.deadlines, m.down, m.returning, m.causes = deadline, since, nil, cause
end

-- 0 = unknown: the deadline was granted, or written by a node that may not have known the span.
local function last_ping(m)
  local at = m.deadlines - span(f)
  return m.deadlines % 1 == 0 and at > f.edited + CACHE_AGE and at <= NOW + AHEAD and at or 0
end

local on = {}

function on.success(m, at)
  local deadline, old = at + span(f), m.deadlines
  local in_time = deadline > NOW
  if not old then
    if in_time and not (m.causes and at <= m.down) then place(m, deadline) end
  elseif deadline > old then
    m.deadlines = deadline
  elseif in_time and old > NOW + span(f) + CLOCK_OFF then  -- no ping can have earned that: a clock had jumped
    m.deadlines = granted(NOW + span(f), 0)                -- not at + span: newer pings may stand behind it
  elseif in_time and excuses(old) > 0 then  -- less than what was granted, but a ping: excuses are counted anew
    m.deadlines = granted(old, 0)
  end
end

function on.fail(m, at, exit)
  local newest = NOW - span(f)  -- for an unknown slug: it must have come in time
  if m.deadlines then
    newest = last_ping(m)
  elseif m.down then
    newest = m.causes and m.down or m.down - span(f)
  elseif m.returning then
    newest = 0
  end
  if at > newest then place(m, nil, at, exit ~= '' and exit or 'fail') end
end

function on.log() end
on.plain, on.start, on.ignored = on.success, on.success, on.log

local function arrive(slug, at, signal, exit)
  if at > NOW + CLOCK_OFF or at < NOW - CLOCK_OFF and not SURE then return 'clock' end
  local m, act = members[slug], on[signal]
  if act == on.fail and f.status == 'paused' then act = on.log end
  if act ~= on.log and not is_known(m) and room <= 0 then return 'full' end
  act(m, math.min(at, NOW + AHEAD), exit)
  return m.deadlines and f.status ~= 'paused' and 'up' or 'parked'
end

for i = 3, #ARGV, 4 do
  local fine, answer = true, 'unknown'
  if f.ping_key then fine, answer = pcall(arrive, ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 3]) end
  answers[#answers + 1] = fine and answer or 'error: ' .. answer
end

local lowest, come_or_gone = INF, false
local added, removed, said, unsaid = {}, {}, {}, {}
for _, zset in ipairs(ZSETS) do added[zset], removed[zset] = {}, {} end

for _, slug in ipairs(slugs) do
  local m = members[slug]
  for _, zset in ipairs(ZSETS) do
    if m[zset] and m[zset] ~= m.was[zset] then
      add(added[zset], score(m[zset]), slug)
    elseif m.was[zset] and not m[zset] then
      add(removed[zset], slug)
    end
  end
  if m.causes and m.causes ~= m.was.causes then add(said, slug, m.causes) end
  if m.was.causes and not m.causes then add(unsaid, slug) end
  if m.deadlines and m.deadlines < (m.was.deadlines or INF) then lowest = math.min(lowest, m.deadlines) end
  come_or_gone = come_or_gone or not m.down ~= not m.was.down
end
for _, zset in ipairs(ZSETS) do
  at_once('ZREM', f[zset], removed[zset])
  at_once('ZADD', f[zset], added[zset])
end
at_once('HSET', f.causes, said)
at_once('HDEL', f.causes, unsaid)
if lowest < INF and f.status ~= 'paused' then due_from(f, math.max(lowest, f.not_before)) end
if come_or_gone then look_at_fleet(f) end
return answers
