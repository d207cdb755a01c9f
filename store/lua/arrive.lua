-- Judges arrivals that are not plainly a ping of a heartbeat that is up: signals, the parked, the deleted.
--
-- An item changes state only if its `at` is later than the newest thing that the state reflects, so a repeated, late
-- or reordered batch changes nothing. It never un-parks to a deadline that has passed: a batch written late must not
-- alarm for a job that kept pinging. One corrupt record is answered as such and stops nobody else.
--
-- ARGV: sure ('1': the node has just measured its clock, take `at` as it is), then 10 values per item, at most 100:
--   id, at (ms, Redis' clock), signal (plain|success|start|fail|log|ignored; plain = a success that the node has
--   logged), exit, rid, from, agent, output, and for a schedule what the node reckoned: rev (of the settings that it
--   reckoned with), dues ('slot deadline slot deadline' in ms: the slot that is owed after this ping and when its
--   silence becomes an incident; then the same if the ping is credited early to the first slot)
-- Returns one text per item: up (the next plain ping needs no script), parked, unknown, clock (`at` is more than 1 s
--   from TIME: measure and repeat), stale (other settings hold: read them, reckon and repeat), or error: ...
-- Cost: about 15 us for a heartbeat that is up, 50 for a transition.
local SURE = ARGV[1] == '1'
local RUNS = 100       -- under way at once; a start beyond them only enters the log
local CLOCK_OFF = 1000 -- ms
local AHEAD = 20       -- ms that an `at` may lie ahead: by that a node tells signals of one millisecond apart

-- Keeps a row and its output, bounded in rows and in bytes. `output` is the first field, so that its size can be read.
local function keep(h, kind, id, output, ...)
  local stream, counter = key(kind, h.id), kind .. '_bytes'
  call('XADD', stream, id or '*', 'output', output, ...)
  local bytes = tonumber(h[counter] or 0) + #output
  while bytes > BYTES or call('XLEN', stream) > ROWS do
    local oldest = call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    call('XDEL', stream, oldest[1])
    bytes = bytes - #oldest[2][2]
  end
  set(h, counter, bytes)
end

local function record(h, ping)
  if ping.signal == 'plain' then return end
  local row = log(h, ping.signal, ping.at, 'exit', ping.exit, 'rid', ping.rid, 'size', #ping.output,
                  'from', ping.from, 'agent', ping.agent, 'took', ping.took or '')
  if ping.signal == 'fail' then
    keep(h, 'failures', row, ping.output, 'at', text(ping.at), 'exit', ping.exit)
  elseif ping.output ~= '' then
    keep(h, 'outputs', row, ping.output)
  end
end

local function is_later(h, at)
  local newest = math.max(h.pinged, h.last_fail or 0)
  if h.status == 'down' and call('HGET', key('incident', h.incident), 'cause') ~= 'failure' then
    return at > newest  -- what came in time but was written late must void a silence
  elseif h.status == 'pending' and h.since == h.created then
    return at > newest  -- nodes' clocks differ by milliseconds: a first ping must not fall before the creation
  end
  return at > math.max(newest, h.since)
end

-- The run that a finish is timed by: the one that it names, or the only one that it can mean.
local function took(h, ping)
  local rid = ping.rid
  if rid == '' and not h.runs[''] then
    rid = next(h.runs)
    if not rid or next(h.runs, rid) then return end
  end
  local started = h.runs[rid]
  return started and ping.at >= started and ping.at - started or nil
end

-- A finish ends the run that it names, whatever its age. Without a name it ends the nameless run, or else all that
-- it can have meant; here its age counts, because the name is used again by the next run.
local function finish(h, ping)
  if ping.took then set(h, 'took', ping.took) end
  if ping.rid ~= '' or h.runs[''] then
    local started = h.runs[ping.rid]
    if started and (ping.rid ~= '' or ping.at >= started - CLOCK_OFF) then end_run(h, ping.rid) end
  else
    for rid, started in pairs(h.runs) do
      if ping.at >= started then end_run(h, rid) end
    end
  end
end

-- When the silence after this ping becomes an incident. With a schedule: a ping shortly before the slot that is owed
-- satisfies it, but only if it is that very slot: the one before it may still be owed. Who is down or paused owes none
-- of those before, or a job whose clock is fast would be alarmed for at each slot after its first failure.
local function deadline_after(h, ping)
  if not h.schedule then return ping.at + span(h) end
  local slot, due, credited, credited_due = string.match(ping.dues, '^(%d+) (%d+) ?(%d*) ?(%d*)$')
  local freed = (h.status == 'down' or h.status == 'paused') and ping.at > h.since
  if credited and credited ~= '' and (freed or h.slot == tonumber(slot)) then slot, due = credited, credited_due end
  ping.slot, ping.due = tonumber(slot), tonumber(due)
  return ping.due
end

-- With a schedule: what this ping leaves owed. (Without, the deadline says it.) While a grant waits to be reckoned, it
-- is only remembered: whoever reckons takes it into account (store/records.py).
local function owe(h, ping)
  if not h.schedule or h.slot_from then return end
  set(h, 'slot', ping.slot)
  set(h, 'due', ping.due)
end

-- Whoever leaves no run behind un-parks.
local function unpark(h)
  if h.status == 'up' and h.deadline == INF and not next(h.runs) then
    local deadline = h.schedule and (h.slot_from and 0 or h.due) or h.pinged + span(h)
    if deadline > NOW then arm(h, deadline) else grant(h, h.slot_from or NOW) end
  end
end

local function revive(h, ping)
  remember_ping(h, ping.at)
  if h.slot_from and ping.at >= h.slot_from then set(h, 'slot_from', nil) end
  owe(h, ping)
  become(h, 'up', ping.at)
  log(h, 'up', ping.at)
  unpark(h)
end

local on = {}

function on.success(h, ping)
  local at, later, deadline = ping.at, is_later(h, ping.at), deadline_after(h, ping)
  local in_time = deadline > NOW
  finish(h, ping)
  if h.status == 'paused' then
    if later and in_time and h.resume_on_ping then
      set(h, 'resume_at', nil)
      call('ZREM', TIMERS, 'resume:' .. h.id)
      return revive(h, ping)
    end
    remember_ping(h, at)
  elseif h.status == 'down' then
    if later and in_time then
      local failed = call('HEXISTS', key('incident', h.incident), 'failed_at') == 1
      local good = failed or at > h.since
      if not good or (h.good or 0) + 1 >= (h.recover_after or 1) then
        close(h, at, good and 'resolved' or 'void', 'ping')
        return revive(h, ping)
      end
      set(h, 'good', (h.good or 0) + 1)
    end
    remember_ping(h, at)
  elseif h.status == 'pending' then
    if later and in_time then revive(h, ping) end
  elseif h.deadline == INF then
    if deadline > (h.due or 0) then owe(h, ping) end  -- of two runs for one slot, the first may have met it early
    remember_ping(h, at)
    unpark(h)
  elseif later and not h.slot_from and deadline > h.deadline then
    if h.schedule then remember_ping(h, at) end
    owe(h, ping)
    arm(h, deadline)
  else
    if later then remember_ping(h, at) end  -- less than what was granted: the order of things counts from here
    if in_time and not h.schedule and h.deadline > NOW + span(h) + CLOCK_OFF then
      remember_ping(h)  -- no ping can have earned that: a clock had jumped
      grant(h, NOW)     -- not at + span: newer pings may stand behind it
    end
  end
end

on.plain = on.success

function on.start(h, ping)
  local due = ping.at + (h.max_runtime and h.max_runtime * 1000 or math.max(h.grace, 60) * 1000)
  if h.status == 'paused' or due <= NOW then return end
  if h.runs[ping.rid] then
    call('ZADD', TIMERS, 'GT', text(due), 'overdue:' .. h.id .. ':' .. ping.rid)
  elseif is_later(h, ping.at) then
    local under_way = 0
    for _ in pairs(h.runs) do under_way = under_way + 1 end
    if under_way >= RUNS then return end
    remember_ping(h)
    start_run(h, ping.rid, ping.at, due)
    if h.deadline < INF then park(h) end
  end
end

function on.fail(h, ping)
  finish(h, ping)
  if h.status ~= 'paused' and is_later(h, ping.at) then
    set(h, 'last_fail', ping.at)
    if h.good then set(h, 'good', nil) end
    if h.status == 'down' then
      call('HSET', key('incident', h.incident), 'exit', ping.exit, 'output', ping.output, 'failed_at', text(ping.at))
    else
      open(h, ping.at, 'failure', ping.exit, ping.output)
    end
  end
  unpark(h)
end

function on.log() end
on.ignored = on.log

local function arrive(ping)
  local h = read(ping.id)
  if not h then return 'unknown' end
  if ping.at > NOW + CLOCK_OFF or ping.at < NOW - CLOCK_OFF and not SURE then return 'clock' end
  local ends = ping.signal ~= 'start' and on[ping.signal] ~= on.log
  if h.schedule and ends and ping.rev ~= h.rev then return 'stale' end
  ping.at = math.min(ping.at, NOW + AHEAD)
  ping.took = ends and took(h, ping)
  record(h, ping)
  on[ping.signal](h, ping)
  return h.status == 'up' and h.deadline < INF and not h.held and 'up' or 'parked'
end

local answers = {}
for i = 2, #ARGV, 10 do
  local fine, answer = pcall(arrive, {id = ARGV[i], at = tonumber(ARGV[i + 1]), signal = ARGV[i + 2],
    exit = ARGV[i + 3], rid = ARGV[i + 4], from = ARGV[i + 5], agent = ARGV[i + 6], output = ARGV[i + 7],
    rev = tonumber(ARGV[i + 8]), dues = ARGV[i + 9]})
  answers[#answers + 1] = fine and answer or 'error: ' .. (type(answer) == 'table' and answer.err or answer)
end
notify()
return answers
