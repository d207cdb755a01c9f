-- How a shard is doing: what store/problems.py is judged by. Reads only.
-- ARGV: ms that a dead letter counts
-- Returns {ms that the sweep is behind, ms since the newest pulse, ms that the newest deaf window has lasted without an
--   end, ms that the oldest entry waits in the outbox, 1 if a delivery was given up lately}; 0 = none
local MANY = 1000     -- entries in the outbox: from there on no chore is handed over (chores.lua)
local LETTERS = 100   -- dead letters that are looked at
local GROUPS = 'GROUPS'
local pulse = gate()

local function first(zset, from)
  return tonumber(call('ZRANGEBYSCORE', zset, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2] or INF)
end

-- Only what fell due before the newest pulse could have been taken; chores wait for no pulse, but for room. 0 in FLEETS
-- is no moment that has passed: a walk follows a step of the clock.
local function behind()
  local due = math.min(first(DEADLINES, '-inf'), first(TIMERS, '-inf'), first(FLEETS, '(0'))
  local room = call('XLEN', NOTIFICATIONS) < MANY
  return math.max(0, pulse - due, room and NOW - first(CHORES, '-inf') or 0)
end

-- A window grows with each pulse that comes late, and is over once one comes in time.
local function deaf_for()
  local newest = call('ZREVRANGE', DEAF, 0, 0, 'WITHSCORES')
  if not newest[1] or tonumber(newest[2]) < pulse then return 0 end
  return newest[2] - newest[1]
end

local function age(id)
  return id and math.max(0, NOW - string.match(id, '^%d+')) or 0
end

-- What was set aside for a human is acknowledged and stays in the stream: it waits for no notifier.
local function waiting()
  local groups = redis.pcall('XINFO', GROUPS, NOTIFICATIONS)
  local group = not groups.err and groups[1]
  if not group then return age((call('XRANGE', NOTIFICATIONS, '-', '+', 'COUNT', 1)[1] or {})[1]) end
  local about = {}
  for i = 1, #group, 2 do about[group[i]] = group[i + 1] end
  local unread = call('XRANGE', NOTIFICATIONS, '(' .. about['last-delivered-id'], '+', 'COUNT', 1)[1] or {}
  local taken = call('XPENDING', NOTIFICATIONS, 'notifier')
  return math.max(age(unread[1]), age(taken[2]))
end

-- Not those that told of a problem: a channel that takes nothing would keep that problem alive.
local function gave_up()
  local since = text(NOW - ARGV[1])
  for _, delivery in ipairs(call('ZREVRANGEBYSCORE', DEAD, '+inf', since, 'LIMIT', 0, LETTERS)) do
    local cause = call('HGET', key('incident', string.match(delivery, '^[^:]*')), 'cause')
    if cause ~= 'problem' then return 1 end
  end
  return 0
end

return {text(behind()), text(pulse > 0 and math.max(0, NOW - pulse) or 0), text(deaf_for()), text(waiting()), gave_up()}
