-- Judges arrivals that are not plainly a ping of a heartbeat that is up: signals, the parked, the deleted.
--
-- An item changes state only if its `at` is later than the newest thing that the state reflects, so a repeated, late
-- or reordered batch changes nothing. It never un-parks to a deadline that has passed: a batch written late must not
-- alarm for a job that kept pinging. One corrupt record is answered as such and stops nobody else.
--
-- ARGV: sure ('1': the node has just measured its clock, take `at` as it is), then 8 values per item, at most 100:
--   id, at (ms, Redis' clock), signal (plain|success|start|fail|log; plain = a success that the node has logged),
--   exit, rid, from, agent, output
-- Returns one text per item: up (the next plain ping needs no script), parked, unknown, clock (`at` is more than 1 s
--   from TIME: measure and repeat), or error: ...
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
                  'from', ping.from, 'agent', ping.agent)
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

-- A finish ends the run that it names, whatever its age. Without a name it ends the nameless run, or else all that
-- it can have meant; here its age counts, because the name is used again by the next run.
local function finish(h, ping)
  if ping.rid ~= '' or h.runs[''] then
    local started = h.runs[ping.rid]
    if started and (ping.rid ~= '' or ping.at >= started - CLOCK_OFF) then end_run(h, ping.rid) end
  else
    for rid, started in pairs(h.runs) do
      if ping.at >= started then end_run(h, rid) end
    end
  end
end

-- Whoever leaves no run behind un-parks.
local function unpark(h)
  if h.status == 'up' and h.deadline == INF and not next(h.runs) then
    local deadline = h.pinged + span(h)
    arm(h, deadline > NOW and deadline or NOW + span(h) + 0.5)
  end
end

local function revive(h, at)
  remember_ping(h, at)
  become(h, 'up', at)
  log(h, 'up', at)
  unpark(h)
end

local on = {}

function on.success(h, ping)
  local at, later, in_time = ping.at, is_later(h, ping.at), ping.at + span(h) > NOW
  finish(h, ping)
  if h.status == 'paused' then
    if later and in_time and h.resume_on_ping then
      set(h, 'resume_at', nil)
      call('ZREM', TIMERS, 'resume:' .. h.id)
      return revive(h, at)
    end
    remember_ping(h, at)
  elseif h.status == 'down' then
    if later and in_time then
      local failed = call('HEXISTS', key('incident', h.incident), 'failed_at') == 1
      close(h, at, (failed or at > h.since) and 'resolved' or 'void', 'ping')
      return revive(h, at)
    end
    remember_ping(h, at)
  elseif h.status == 'pending' then
    if later and in_time then revive(h, at) end
  elseif h.deadline == INF then
    remember_ping(h, at)
    unpark(h)
  elseif later and at + span(h) > h.deadline then
    arm(h, at + span(h))
  else
    if later then  -- less than what was granted, but a ping: the order of things counts from here
      remember_ping(h, at)
      if h.excuses then set(h, 'excuses', nil) end
    end
    if in_time and h.deadline > NOW + span(h) + CLOCK_OFF then  -- no ping can have earned that: a clock had jumped
      remember_ping(h)
      arm(h, NOW + span(h) + 0.5)  -- not at + span: newer pings may stand behind it
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
    if h.status == 'down' then
      call('HSET', key('incident', h.incident), 'exit', ping.exit, 'output', ping.output, 'failed_at', text(ping.at))
    else
      open(h, ping.at, 'failure', ping.exit, ping.output)
    end
  end
  unpark(h)
end

function on.log() end

local function arrive(ping)
  local h = read(ping.id)
  if not h then return 'unknown' end
  if ping.at > NOW + CLOCK_OFF or ping.at < NOW - CLOCK_OFF and not SURE then return 'clock' end
  ping.at = math.min(ping.at, NOW + AHEAD)
  record(h, ping)
  on[ping.signal](h, ping)
  return h.status == 'up' and h.deadline < INF and not h.held and 'up' or 'parked'
end

local answers = {}
for i = 2, #ARGV, 8 do
  local fine, answer = pcall(arrive, {id = ARGV[i], at = tonumber(ARGV[i + 1]), signal = ARGV[i + 2],
    exit = ARGV[i + 3], rid = ARGV[i + 4], from = ARGV[i + 5], agent = ARGV[i + 6], output = ARGV[i + 7]})
  answers[#answers + 1] = fine and answer or 'error: ' .. (type(answer) == 'table' and answer.err or answer)
end
notify()
return answers
