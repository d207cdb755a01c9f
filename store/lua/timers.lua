-- Fires due timers. They judge heartbeats, so they stand behind the same gate as the sweep.
--   resume:<id>         the end of a pause
--   settle:<id>         nodes have forgotten the old settings: the held deadline goes live
--   late:<id>           a warning that its owner wants before there is an incident
--   overdue:<id>:<rid>  a run took too long; unknown, not overdue, if we were deaf while it ran
-- ARGV: limit
-- Returns {timers fired, corrupt records dropped}
local due = call('ZRANGEBYSCORE', TIMERS, '-inf', '(' .. text(gate()), 'WITHSCORES', 'LIMIT', 0, ARGV[1])
local fire = {}

function fire.resume(h)
  if h.status == 'paused' then resume(h) end
end

function fire.settle(h)
  local deadline = h.held
  set(h, 'settle_at', nil)
  if deadline then
    set(h, 'held', nil)
    arm(h, deadline)
  end
end

-- Told like an incident, but it is none. Not if we may have missed the ping. A node that did not know of the wish yet
-- has moved the deadline alone, and an edit may have left nothing to be late for.
function fire.late(h, due_at)
  local id = h.id .. '-' .. text(due_at)
  if not h.warn_late or h.status ~= 'up' or h.deadline == INF or deaf(h.pinged, due_at) then return end
  local at = late_at(h, h.deadline)
  if not at or at > due_at then return warn(h, h.deadline) end
  if call('EXISTS', key('incident', id)) == 1 then return end
  call('HSET', key('incident', id), 'heartbeat', h.id, 'project', h.project, 'status', 'late', 'cause', 'late',
       'opened_at', text(due_at), 'last_ping', text(h.pinged))
  call('PEXPIRE', key('incident', id), DAY)
  log(h, 'late', due_at)
  look(h.project, id)
end

function fire.overdue(h, due_at, rid)
  local started = h.runs[rid]
  if not started then return end
  end_run(h, rid)
  local heard_again = deaf(started, due_at)
  if heard_again then
    log(h, 'unknown', due_at, 'rid', rid)
    if h.status == 'up' and not next(h.runs) then
      remember_ping(h)
      grant(h, math.max(h.pinged, heard_again))
    end
  elseif h.status == 'down' then
    log(h, 'overrun', due_at, 'rid', rid)
  else
    open(h, due_at, 'overrun')
  end
end

local corrupt = 0
for i = 1, #due, 2 do
  local timer, due_at = due[i], math.floor(tonumber(due[i + 1]))
  call('ZREM', TIMERS, timer)
  local kind, id, rid = string.match(timer, '^(%a+):(%w+):?(.*)$')
  local fine = pcall(function()
    local h = read(id)
    if h then fire[kind](h, due_at, rid) end
  end)
  if not fine then corrupt = corrupt + 1 end
end
notify()
return {#due / 2, corrupt}
