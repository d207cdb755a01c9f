-- What the scripts of a shard share: the words they are written in. The loader puts clock.lua and this file in front
-- of each script, and every script gets the shard's fixed keys in this order (store/keys.py says what they hold).
-- Keys of one heartbeat or incident are built from the same hash tag, so they are in the same slot.
local DEADLINES, TIMERS, CHORES, OPEN, CLOSED, NOTIFICATIONS, PULSE, DEAF, CHANGES, DEAD, FLEETS = unpack(KEYS)
local TAG = string.match(DEADLINES, '^{.-}:')
local UNSEEN = TAG .. 'unseen'   -- incidents that the outbox names: whoever takes note of them takes them off
local UNSEEN_FOR = 60000         -- ms until they are named again: entries can get lost, by a hand or with their group
local INF = math.huge
local DAY = 86400000
local KEEP_INCIDENTS = 30 * DAY  -- closed ones
local KEEP_AT_LEAST = 4 * DAY    -- a delivery is retried for three days and must find its incident
local MANY_INCIDENTS = 10000     -- beyond these only KEEP_AT_LEAST holds
local KEEP_DELETED = 4 * DAY
local CACHE_AGE = 5000           -- an ingest node trusts its cache no longer than this (store/changes.py)
local ROWS, BYTES = 20, 32768    -- kept of outputs, and again of failures, per heartbeat
local NUMBERS = {'period', 'grace', 'misses', 'max_runtime', 'rev', 'since', 'created', 'edited', 'last_ping',
                 'last_fail', 'held', 'settle_at', 'resume_at', 'excuses', 'excused_to', 'slot', 'due', 'slot_from',
                 'early', 'recover_after', 'good'}
local call = redis.call
local looks, order = {}, {}  -- project -> incidents that somebody must look at; projects as they came

local function key(kind, id)
  return TAG .. kind .. ':' .. id
end

-- Lua's own conversion keeps 14 digits: one too few for a granted deadline plus a sign, so nothing relies on it.
local function text(time)
  return string.format(time % 1 == 0 and '%.0f' or '%.1f', time)
end

local function span(h)
  return ((h.misses or 1) * h.period + h.grace) * 1000
end

-- A heartbeat as a table, or nil: its hash, its runs, its deadline (held during an edit, +inf when parked), and
-- `pinged`, the last ping, 0 for none: stored, or reckoned from a deadline behind which a ping stands.
local function read(id)
  local flat = call('HGETALL', key('heartbeat', id))
  if #flat == 0 then return nil end
  local h = {id = id, key = key('heartbeat', id), runs = {}}
  for i = 1, #flat, 2 do
    local run = string.match(flat[i], '^run:(.*)$')
    if run then h.runs[run] = tonumber(flat[i + 1]) else h[flat[i]] = flat[i + 1] end
  end
  for _, name in ipairs(NUMBERS) do h[name] = tonumber(h[name]) end
  h.deadline = h.held or tonumber(call('ZSCORE', DEADLINES, id) or INF)
  h.pinged = h.last_ping or 0
  if h.deadline < INF and h.deadline % 1 == 0 and not h.schedule then
    h.pinged = math.max(h.pinged, math.min(h.deadline - span(h), NOW))
  end
  return h
end

local function set(h, field, value)
  h[field] = value
  if value == nil then
    call('HDEL', h.key, field)
  else
    call('HSET', h.key, field, type(value) == 'number' and text(value) or value)
  end
end

-- Parked = the next ping needs a script, and no sweep sees it. Whoever parks or grants stores the last ping.
local function park(h)
  if h.held then set(h, 'held', nil) end
  if h.warn_late then call('ZREM', TIMERS, 'late:' .. h.id) end
  h.deadline = INF
  call('ZADD', DEADLINES, 'inf', h.id)
end

-- When one that is silent is late, though it is no incident yet: its period is over, or its slot has come. nil = never.
local function late_at(h, deadline)
  local at = h.slot
  if not h.schedule then at = deadline - h.grace * 1000 - ((h.misses or 1) - 1) * h.period * 1000 end
  return at and not h.slot_from and at < deadline and math.floor(at) or nil
end

local function warn(h, deadline)
  local at = late_at(h, deadline)
  if at then call('ZADD', TIMERS, text(at), 'late:' .. h.id) end
end

-- A live deadline. For CACHE_AGE after an edit it is held back: a node that still has the old span must not move it.
local function arm(h, deadline)
  h.deadline = deadline
  if h.warn_late then warn(h, deadline) end
  if h.settle_at then
    set(h, 'held', deadline)
  else
    call('ZADD', DEADLINES, text(deadline), h.id)
  end
end

-- A deadline that no ping earned: one span from `from`, or with a schedule its next slot after it. Lua cannot reckon
-- slots, so such a heartbeat falls due at once, and the sweep asks for it to be reckoned instead of judging it.
local function grant(h, from)
  if h.schedule then
    set(h, 'slot_from', from)
    arm(h, NOW + 0.5)
  else
    arm(h, from + span(h) + 0.5)
  end
end

-- A ping that is news ends the row of excuses: plain pings cannot, they only write the deadline.
local function remember_ping(h, at)
  at = math.max(at or 0, h.pinged)
  h.pinged = at
  if at > 0 and at ~= h.last_ping then
    set(h, 'last_ping', at)
    if h.excuses then set(h, 'excuses', nil) end
  end
end

-- The indexes, all in the order of names: a count is a ZCARD and cannot drift, a page is a range.
local function entry(h)
  return (h.sort or h.name) .. '\0' .. h.id
end

local function index(h)
  call('ZADD', TAG .. 'names:' .. h.project, 0, entry(h))
  call('ZADD', TAG .. 'status:' .. h.project .. ':' .. h.status, 0, entry(h))
  for tag in string.gmatch(h.tags or '', '[^\n]+') do
    call('ZADD', TAG .. 'tag:' .. h.project .. ':' .. tag, 0, entry(h))
  end
end

local function unindex(h)
  call('ZREM', TAG .. 'names:' .. h.project, entry(h))
  call('ZREM', TAG .. 'status:' .. h.project .. ':' .. h.status, entry(h))
  for tag in string.gmatch(h.tags or '', '[^\n]+') do
    call('ZREM', TAG .. 'tag:' .. h.project .. ':' .. tag, entry(h))
  end
end

local function become(h, status, since)
  local statuses = TAG .. 'status:' .. h.project .. ':'
  if h.status ~= status then
    call('ZREM', statuses .. h.status, entry(h))
    call('ZADD', statuses .. status, 0, entry(h))
  end
  set(h, 'status', status)
  set(h, 'since', since)
end

-- A row of the event log; returns its id, or false when the heartbeat keeps no log.
local function log(h, kind, at, ...)
  return call('XADD', key('events', h.id), 'NOMKSTREAM', 'MAXLEN', '~', 100, '*', 'kind', kind, 'at', text(at), ...)
end

local function start_run(h, rid, at, due)
  h.runs[rid] = at
  call('HSET', h.key, 'run:' .. rid, text(at))
  call('ZADD', TIMERS, text(due), 'overdue:' .. h.id .. ':' .. rid)
end

local function end_run(h, rid)
  h.runs[rid] = nil
  call('HDEL', h.key, 'run:' .. rid)
  call('ZREM', TIMERS, 'overdue:' .. h.id .. ':' .. rid)
end

local function look(project, incident)
  call('ZADD', UNSEEN, 'NX', text(NOW + UNSEEN_FOR), incident)
  if not looks[project] then
    looks[project] = {}
    order[#order + 1] = project
  end
  table.insert(looks[project], incident)
end

-- One entry per call and project, whatever the number of incidents. To be called once, at the end.
local function notify()
  for _, project in ipairs(order) do
    call('XADD', NOTIFICATIONS, '*', 'project', project, 'incidents', table.concat(looks[project], ' '))
  end
end

-- Opens an incident dated `at`. The heartbeat is down exactly while its incident is open.
local function open(h, at, cause, exit, output)
  at = math.floor(at)
  while call('EXISTS', key('incident', h.id .. '-' .. text(at))) == 1 do at = at + 1 end
  local id = h.id .. '-' .. text(at)
  call('HSET', key('incident', id), 'heartbeat', h.id, 'project', h.project, 'status', 'open', 'cause', cause,
       'opened_at', text(at), 'last_ping', text(h.pinged), 'exit', exit or '', 'output', output or '',
       'previous', h.incident or '')
  call('ZADD', OPEN, text(at), id)
  remember_ping(h)
  become(h, 'down', at)
  park(h)
  set(h, 'incident', id)
  log(h, 'down', at, 'cause', cause)
  look(h.project, id)
end

-- Closes the open incident; `status` is resolved, or void when it should never have been. Trims the oldest closed.
local function close(h, at, status, resolution)
  at = math.max(at, tonumber(call('ZSCORE', OPEN, h.incident) or at))
  call('HSET', key('incident', h.incident), 'status', status, 'resolved_at', text(at), 'resolution', resolution)
  call('ZREM', OPEN, h.incident)
  call('ZADD', CLOSED, text(NOW), h.incident)
  look(h.project, h.incident)
  if h.good then set(h, 'good', nil) end
  local keep = call('ZCARD', CLOSED) > MANY_INCIDENTS and KEEP_AT_LEAST or KEEP_INCIDENTS
  for _, old in ipairs(call('ZRANGEBYSCORE', CLOSED, '-inf', text(NOW - keep), 'LIMIT', 0, 4)) do
    call('ZREM', CLOSED, old)
    call('UNLINK', key('incident', old))
  end
end

-- The clock starts anew from now; one that never gave a sign of life waits for its first.
local function resume(h)
  set(h, 'resume_at', nil)
  call('ZREM', TIMERS, 'resume:' .. h.id)
  if h.excuses then set(h, 'excuses', nil) end
  if h.pinged == 0 and not h.last_fail then
    become(h, 'pending', NOW)
  else
    become(h, 'up', NOW)
    grant(h, NOW)
  end
  log(h, 'resumed', NOW)
end

-- Tells the ingest nodes to forget a heartbeat. `n` counts without gaps, so a node sees when it missed one.
local function changed(id)
  local last = call('XREVRANGE', CHANGES, '+', '-', 'COUNT', 1)[1]
  call('XADD', CHANGES, 'MAXLEN', '~', 10000, '*', 'id', id, 'n', last and last[2][4] + 1 or 1)
end

-- The end of the latest deaf window that overlaps [from, to], or nil. At most 100 windows, read once per call.
local deaf_windows
local function deaf(from, to)
  deaf_windows = deaf_windows or call('ZREVRANGE', DEAF, 0, -1, 'WITHSCORES')
  for i = 1, #deaf_windows, 2 do
    local window_end = tonumber(deaf_windows[i + 1])
    if window_end >= from and tonumber(deaf_windows[i]) <= to then return window_end end
  end
end

-- Only what fell due before the newest pulse is judged: until then we may simply not have heard.
local function gate()
  return tonumber(call('HGET', PULSE, 'at') or 0)
end

-- What a channel should hear next about an incident; nil = nothing. `d`: its delivery, as `told_so_far` reads it, with
-- `told` as it would be. Void, or closed by hand before anybody heard of it: there is nothing to tell. A fleet's
-- incident is told again when twice as many members are silent as when it was last told, or given up. Whoever is to be
-- told more often than he was (steps of a policy, reminders) hears again, until somebody has acknowledged.
local function next_word(incident, channel, d)
  local state = call('HMGET', key('incident', incident), 'status', 'resolution', 'count', 'acknowledged_at',
                     'to:' .. channel, 'heartbeat', 'last_ping')
  local status, by_hand = state[1], state[2] == 'paused' or state[2] == 'deleted'
  if status == 'open' then
    if d.told_count and tonumber(state[3] or 0) >= 2 * d.told_count then return 'grown' end
    if not d.told then return 'opened' end
    if state[4] then return d.acknowledges and d.told ~= 'acknowledged' and 'acknowledged' or nil end
    if tonumber(state[5] or 1) > tonumber(d.told_times or 1) then return 'reminder' end
  elseif status == 'test' and not d.told then
    return 'test'
  elseif status == 'late' and not d.told then
    local h = read(state[6])  -- who has pinged since is not late
    return h and h.status == 'up' and h.pinged <= tonumber(state[7]) and 'late' or nil
  elseif status == 'resolved' and d.told ~= 'resolved' and (d.told or d.heard or not by_hand) then
    return 'resolved'
  elseif status == 'void' and d.told ~= 'resolved' and (d.told or d.heard) then
    return 'resolved'
  end
end

local TOLD_SO_FAR = {'told', 'told_count', 'told_times', 'acknowledges', 'given_up', 'owner', 'leased_until', 'word',
                     'attempt', 'created', 'times', 'heard', 'next', 'at'}

local function told_so_far(incident, channel)
  local values, d = call('HMGET', key('delivery', incident .. ':' .. channel), unpack(TOLD_SO_FAR)), {}
  for i, field in ipairs(TOLD_SO_FAR) do d[field] = values[i] or nil end
  return d
end

-- A word that was given up is not tried again; but a reminder is another word each time.
local function given_up(incident, channel, word)
  if word ~= 'opened' and word ~= 'reminder' then return word end
  return word .. ' ' .. (call('HGET', key('incident', incident), 'to:' .. channel) or '1')
end

-- Whether a chore waits for its time. Who hands it out moves it, so one that was handed out before it was set anew does
-- not look as if that had come; and a clock that steps back moves it, too.
local function is_waiting(chore)
  local kind, incident = string.match(chore, '^(%a+):([^:]*)')
  local at = tonumber(call('ZSCORE', CHORES, chore) or 0)
  return at > NOW and at == tonumber(call('HGET', key('incident', incident), 'due:' .. kind) or 0)
end
