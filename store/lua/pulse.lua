-- Says that we can hear: a ping went through a node's listener and queue and has reached Redis. What lies between two
-- pulses more than 1 s apart, or across a restart of the server, was deaf time: the window is kept, merged with those
-- that it touches, at most 100 (then the two oldest become one: rather excuse too much than alarm falsely).
-- ARGV: node
-- Returns {now, nodes that pulsed within 3 s, 1 if a deaf window was recorded, 1 if the clock stepped back}
-- Not allowed when memory is full: pings are refused then, so we are deaf.
local GAP, GONE, WINDOWS = 1000, 3000, 100
local BACK = 1000  -- ms; smaller steps are within what nodes are allowed to be off
local pulse = call('HGETALL', PULSE)
local last, nodes, run, stepped, was_deaf = {}, 1, string.match(call('INFO', 'server'), 'run_id:(%w+)'), 0, 0
for i = 1, #pulse, 2 do
  last[pulse[i]] = pulse[i + 1]
  local node = string.match(pulse[i], '^node:(.*)$')
  if node and node ~= ARGV[1] then
    local seen = tonumber(pulse[i + 1])
    if seen > NOW - GONE and seen <= NOW + BACK then nodes = nodes + 1 else call('HDEL', PULSE, pulse[i]) end
  end
end
local at = tonumber(last.at or NOW)

local function remember_window(from, to)
  for _, old in ipairs(call('ZRANGEBYSCORE', DEAF, text(from), '+inf')) do
    from = math.min(from, tonumber(old))
    to = math.max(to, tonumber(call('ZSCORE', DEAF, old)))
    call('ZREM', DEAF, old)
  end
  call('ZADD', DEAF, text(to), text(from))
  if call('ZCARD', DEAF) > WINDOWS then
    local oldest = call('ZRANGE', DEAF, 0, 1)
    local second = call('ZSCORE', DEAF, oldest[2])
    call('ZREM', DEAF, oldest[1], oldest[2])
    call('ZADD', DEAF, second, oldest[1])
  end
end

if NOW < at - BACK then
  local chores = call('ZRANGEBYSCORE', CHORES, '(' .. text(NOW), '+inf', 'WITHSCORES')
  for i = 1, #chores, 2 do  -- what is still to be told must not wait until the clock has caught up
    local due = text(math.max(chores[i + 1] - (at - NOW), NOW))
    local delivery = key('delivery', string.match(chores[i], ':(.*)$'))
    call('ZADD', CHORES, due, chores[i])
    if call('HGET', delivery, 'leased_until') == chores[i + 1] then call('HSET', delivery, 'leased_until', due) end
  end
  for _, incident in ipairs(call('ZRANGEBYSCORE', UNSEEN, '(' .. text(NOW + UNSEEN_FOR), '+inf')) do
    call('ZADD', UNSEEN, text(NOW + UNSEEN_FOR), incident)
  end
  stepped, at = 1, NOW
  for _, from in ipairs(call('ZRANGEBYSCORE', DEAF, '(' .. text(NOW), '+inf')) do
    call('ZREM', DEAF, from)
    if tonumber(from) < NOW then call('ZADD', DEAF, text(NOW), from) end
  end
  call('HSET', PULSE, 'walk', '0')  -- clamp.lua goes over the heartbeats
end
if NOW - at > GAP or last.run and last.run ~= run then
  was_deaf = 1
  remember_window(math.min(at, NOW), math.max(at, NOW))
end
call('HSET', PULSE, 'at', text(math.max(NOW, at)), 'run', run, 'node:' .. ARGV[1], text(NOW))
return {text(NOW), nodes, was_deaf, stepped}
