-- A problem of our own begins or ends. It is told like an incident but is none: it stands in no list of incidents, and
-- PROBLEMS says which is the latest of each problem. Whoever is to be told is settled when it begins.
--
-- One that comes and goes would make a message each time. So it is quiet for QUIET after an end that was told: what
-- begins meanwhile is recorded at once and told when that time is over, if it still lasts; if not, nobody hears of it.
--
-- ARGV: begin|end, the problem ("<kind> <subject>"), its 12 hex digits; of one that begins also what is wrong, project,
--   then channels
-- Returns 1; 0 = it had begun, or ended, before.
local QUIET = 900000  -- ms
local AGAIN = 30000   -- ms until a chore looks after what a notifier took note of and never told
local PROBLEMS = TAG .. 'problems'
local verb, problem, digits, wrong, project = unpack(ARGV, 1, 5)
local latest = call('HGET', PROBLEMS, problem)
local state = latest and call('HMGET', key('incident', latest), 'status', 'quiet_until') or {}
local is_open, quiet_until = state[1] == 'open', tonumber(state[2] or 0)
if is_open == (verb == 'begin') then return 0 end

local function tell(deliveries, due)
  local is_due = due <= NOW
  for _, delivery in ipairs(deliveries) do
    call('HSETNX', key('delivery', delivery), 'created', text(NOW))
    call('ZADD', CHORES, 'NX', text(is_due and NOW + AGAIN or due), 'retry:' .. delivery)
  end
  if is_due and #deliveries > 0 then
    call('XADD', NOTIFICATIONS, '*', 'deliveries', table.concat(deliveries, ' '))
  end
end

local function begin()
  local names = call('HGETALL', PROBLEMS)
  for i = 1, #names, 2 do  -- a channel that was broken once and is no more would stay for ever
    if call('EXISTS', key('incident', names[i + 1])) == 0 then call('HDEL', PROBLEMS, names[i]) end
  end
  local at, deliveries = NOW, {}
  while call('EXISTS', key('incident', digits .. '-' .. text(at))) == 1 do at = at + 1 end
  local incident = digits .. '-' .. text(at)
  quiet_until = math.min(quiet_until, NOW + QUIET)  -- the clock may have stepped back
  call('HSET', key('incident', incident), 'project', project, 'status', 'open', 'cause', 'problem', 'problem', wrong,
       'opened_at', text(at), 'quiet_until', text(quiet_until), 'previous', latest or '')
  for i = 6, #ARGV do
    call('HSET', key('incident', incident), 'to:' .. ARGV[i], '1')
    deliveries[#deliveries + 1] = incident .. ':' .. ARGV[i]
  end
  call('HSET', PROBLEMS, problem, incident)
  tell(deliveries, quiet_until)
end

local function finish()
  local record, deliveries = key('incident', latest), {}
  call('HSET', record, 'resolved_at', text(NOW), 'resolution', 'ping')
  if quiet_until > NOW then
    call('HSET', record, 'status', 'void')  -- the chores find nothing to tell
  else
    call('HSET', record, 'status', 'resolved', 'quiet_until', text(NOW + QUIET))
    for _, field in ipairs(call('HKEYS', record)) do
      local channel = string.match(field, '^to:(.*)$')
      if channel then deliveries[#deliveries + 1] = latest .. ':' .. channel end
    end
    tell(deliveries, NOW)
  end
  call('PEXPIRE', record, KEEP_INCIDENTS)
end

if verb == 'begin' then begin() else finish() end
return 1
